"""MLflow's stores with the guard in them: `registry_store`, with `write_checks`; `tracking_store`, `artifact_store`.

The functions are the entry points ``elp+…`` of MLflow. Every client of MLflow loads them, so they import nothing before
a store is opened.
"""

from typing import Any


def open_registry_store(*arguments: Any, **named: Any) -> Any:
    """Return the guarded registry store of a database; MLflow gives its address."""
    from pipelines.server.stores.registry_store import GuardedStore

    return GuardedStore(*arguments, **named)


def open_artifact_repository(*arguments: Any, **named: Any) -> Any:
    """Return the guarded repository of the artifacts that this server serves; see `guarded_repository`."""
    from pipelines.server.stores.artifact_store import guarded_repository

    return guarded_repository(*arguments, **named)
