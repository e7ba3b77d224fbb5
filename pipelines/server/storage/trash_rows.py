"""The rows of the trash of adapter versions, and the way back out of it: one version for a training key, always."""

import json
from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pipelines.registry.adapter_version import Tags
from pipelines.registry.ledger.entry import Principal
from pipelines.registry.slot import Slot
from pipelines.server.ledger import TRASH, LedgerTransaction
from pipelines.server.storage.version_rows import tags_of_version, version_of_key

CLEARED = ("description", "user_id", "current_stage", "source", "run_id", "run_link", "status_message")
"""Columns of a version that MLflow's deletion clears."""


def waiting_rows(session: Session) -> list[Any]:
    """Return the rows of the versions that can come back, oldest first."""
    return list(session.execute(select(TRASH).where(TRASH.c.state == "trashed").order_by(TRASH.c.seq)))


def any_row(session: Session, model: str, version: int) -> Any:
    """Return MLflow's row of a version, in whatever stage, or None."""
    table = SqlModelVersion
    return session.scalars(select(table).where(table.name == model, table.version == version)).one_or_none()


def slot_name(row: Any) -> str:
    """Return ``SITE/TASK`` of a row of the trash."""
    return str(Slot.of_model(row.model) or row.model)


def hindrance(session: Session, row: Any) -> str:
    """Return why a version cannot leave the trash; empty if it can."""
    name, found = f"{slot_name(row)} v{row.version}", any_row(session, row.model, row.version)
    if found is None or found.current_stage != STAGE_DELETED_INTERNAL:
        return f"{name} cannot come back: its model was deleted or made again since then"
    key = tags_of_version(session, row.model, row.version).get(Tags.KEY, "")
    other = version_of_key(session, row.model, key) if key else None
    if other is not None:
        return (
            f"{name} cannot come back: v{other} was trained from the same inputs since then (training key {key[:12]})"
        )
    return ""


def restore_row(transaction: LedgerTransaction, row: Any, principal: Principal) -> None:
    """Bring a version back into the registry, with an entry; the caller has asked for a hindrance."""
    session, before = transaction.session, json.loads(row.row)
    found = any_row(session, row.model, row.version)
    for name in CLEARED:
        setattr(found, name, before[name])
    session.execute(delete(TRASH).where(TRASH.c.seq == row.seq))
    about = {"after": row.version, "bundle": before["bundle"], "detail": {"entry": row.seq}}
    transaction.append("restored", slot_name(row), principal, **about)


def restore_key(transaction: LedgerTransaction, slot: Slot, key: str, principal: Principal) -> int | None:
    """Bring back the version of a slot that was trained with this key, if it is in the trash; return its number."""
    session = transaction.session
    for row in waiting_rows(session) if key else []:
        mine = row.model == slot.model_name and tags_of_version(session, row.model, row.version).get(Tags.KEY) == key
        if mine and not hindrance(session, row):
            restore_row(transaction, row, principal)
            return int(row.version)
    return None
