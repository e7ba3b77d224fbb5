"""The console in this process: its routes on real stores, without a server around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from mlflow.server import handlers
from mlflow.server.constants import ARTIFACTS_DESTINATION_ENV_VAR
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import func, select

from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import KeyRing
from pipelines.server.ledger import LEDGER
from pipelines.server.pages import blueprint
from pipelines.server.read_models.signed_records import entry_at
from pipelines.server.stores import registry_store as server
from pipelines.server.stores.registry_store import GuardedStore
from tests.support.html import read_html
from tests.support.new_databases import new_mlflow_database


def open_stores(folder: Path, patch: Any) -> tuple[GuardedStore, SqlAlchemyStore, KeyRing]:
    """A registry and a tracking store on one new SQLite file, as those of this process's server."""
    ring = ensure_keys(folder / "keys")
    patch.setenv("ELP_KEYS", str(folder / "keys"))
    patch.setenv("ELP_LEDGER_CHECKPOINT", str(folder / "ledger-head.json"))
    new_mlflow_database(folder / "mlflow.db")
    tracking = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"))
    registry = GuardedStore(f"elp+sqlite:///{folder / 'mlflow.db'}")
    patch.setenv(ARTIFACTS_DESTINATION_ENV_VAR, f"file://{folder / 'artifacts'}")
    patch.setattr(handlers, "_artifact_repo", None)
    patch.setattr(handlers, "_model_registry_store", registry)
    patch.setattr(handlers, "_tracking_store", tracking)
    return registry, tracking, ring


def console_client(prefix: str = "") -> FlaskClient:
    """A browser of sorts for the pages under PREFIX/elp/."""
    app = Flask("console")
    app.register_blueprint(blueprint, url_prefix=f"{prefix}/elp")
    return app.test_client()


def token(visitor: FlaskClient, page: str) -> str:
    """What a form of this page must send along."""
    fields = read_html(visitor.get(page).text).all("input")
    return next(field.attributes["value"] for field in fields if field.attributes["name"] == "token")


def newest() -> LedgerEntry:
    """The ledger's last entry."""
    with server.registry().engine.connect() as connection:
        entry = entry_at(connection, int(connection.scalar(select(func.max(LEDGER.c.seq))) or 0))
    assert entry
    return entry
