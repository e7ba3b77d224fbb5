"""The local servers and workers: their processes, addresses and environment."""
