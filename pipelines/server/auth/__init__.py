"""Who calls, which roles they hold, and what a request needs."""
