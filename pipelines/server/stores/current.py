"""The stores of this MLflow server process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.server.stores.registry_store import GuardedStore


def registry() -> GuardedStore:
    """Return this process's registry store; raise RuntimeError if the server was started without the guard."""
    # `import mlflow` loads our artifact store, which imports this module: MLflow is not ready for GuardedStore then
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
    """Return this process's tracking store."""
    from mlflow.server.handlers import _get_tracking_store

    return _get_tracking_store()
