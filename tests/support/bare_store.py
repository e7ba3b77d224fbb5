"""The guarded store in this process, on SQLite: one slot with a version that has no bytes behind it."""

from __future__ import annotations

from pathlib import Path

from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.slot import Slot
from pipelines.server.stores.registry_store import GuardedStore
from tests.support.new_databases import new_mlflow_database

SLOT, ANN = Slot("plant-a", "asr"), Principal("ann", False, "")


def open_store(folder: Path) -> GuardedStore:
    """Open the store whose database is in this folder; ELP_KEYS must name its folder of keys."""
    return GuardedStore(f"elp+sqlite:///{folder / 'mlflow.db'}")


def make_store(folder: Path) -> GuardedStore:
    """Make a store with version 1 of the slot, which has no bytes: tests of the bytes use a server."""
    ensure_keys(folder / "keys")
    new_mlflow_database(folder / "mlflow.db")
    store = open_store(folder)
    store.create_registered_model(SLOT.model_name)
    with store.locked() as transaction:
        transaction.session.add(SqlModelVersion(workspace="default", name=SLOT.model_name, version=1))
    return store
