"""Prefect flows: order, retries and artifacts around the plain steps."""
