"""The values that all rooms share, and the client of the server."""
