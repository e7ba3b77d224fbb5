"""Deletion by policy: `stored_adapters` (the facts), `adapter_trash` (into the trash, back, and out of it).

This is the only way in which the bytes of a version leave the artifact store.
"""
