"""The stores of the MLflow server that the guard runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.server.stores.registry_store import GuardedStore


def registry() -> GuardedStore:
    """This process's registry store.

    Raises:
        RuntimeError: where the server was started without the guard's store.
    """
    from mlflow.server.handlers import _get_model_registry_store

    from pipelines.server.stores.registry_store import GuardedStore

    store = _get_model_registry_store()
    if not isinstance(store, GuardedStore):
        raise RuntimeError(
            f"the registry store is {type(store).__name__}, not the guard's; start the server with "
            "--registry-store-uri elp+sqlite:///… or elp+postgresql://… (docs/explanation/registry.md)"
        )
    return store


def tracking() -> Any:
    """This process's tracking store."""
    from mlflow.server.handlers import _get_tracking_store

    return _get_tracking_store()


def run_location(run_id: str) -> str:
    """Where the artifacts of a run lie."""
    return str(tracking().get_run(run_id).info.artifact_uri)
