"""The names of this machine in an address."""

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""A proxy is meant for other hosts: it cannot reach servers of this machine by these names."""
