"""The registry's rows about versions: the row itself, tags, aliases, and the statements recorded on it."""

import json
from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag, SqlRegisteredModelAlias
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.registry.adapter_version import CHAMPION, Tags
from pipelines.registry.verdict_statement import ChampionRef
from pipelines.server.ledger import STATEMENTS, TRASH


def version_row(session: Session, model: str, version: int) -> Any | None:
    """Return the row of a version, or None if it does not exist or was deleted."""
    return session.scalars(
        select(SqlModelVersion).where(
            SqlModelVersion.name == model,
            SqlModelVersion.version == version,
            # MLflow keeps the row of a deleted version, under this stage
            SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL,
        )
    ).one_or_none()


def leaving_the_trash(session: Session, model_id: str) -> bool:
    """Return whether the bytes of a logged model are being deleted for good."""
    rows = session.scalars(select(TRASH.c.row).where(TRASH.c.state == "emptying"))
    return any(json.loads(row)["model_id"] == model_id for row in rows)


def tags_of_version(session: Session, model: str, version: int) -> dict[str, str]:
    """Return the tags of a version."""
    table = SqlModelVersionTag
    found = select(table.key, table.value).where(table.name == model, table.version == version)
    return {str(key): str(value or "") for key, value in session.execute(found)}


def version_of_key(session: Session, model: str, key: str) -> int | None:
    """Return the version of a model with this training key, or None; deleted versions do not count."""
    table = SqlModelVersionTag
    found = select(table.version).where(table.name == model, table.key == Tags.KEY, table.value == key)
    numbers = sorted(int(number) for number in session.scalars(found))
    return next((number for number in numbers if version_row(session, model, number) is not None), None)


def alias_version(session: Session, model: str, alias: str) -> int | None:
    """Return the version that an alias points to, or None."""
    table = SqlRegisteredModelAlias
    found = session.scalar(select(table.version).where(table.name == model, table.alias == alias))
    return None if found is None else int(found)


def present_champion(session: Session, model: str) -> ChampionRef | None:
    """Return the champion of this moment and its bundle, or None."""
    version = alias_version(session, model, CHAMPION)
    return None if version is None else ChampionRef(version, bundle_of(session, model, version))


def bundle_of(session: Session, model: str, version: int) -> str:
    """Return the bundle in a version's lineage statement; a version without one has a tag, or nothing."""
    signed = session.scalar(
        newest_statements("lineage", model, version).with_only_columns(STATEMENTS.c.bundle).limit(1)
    )
    return str(signed or tags_of_version(session, model, version).get(Tags.BUNDLE, ""))


def newest_statements(kind: str, model: str, version: int) -> Any:
    """Return the query for the recorded statements of a kind about a version, the newest first."""
    table = STATEMENTS.c
    about = (table.model == model, table.version == version, table.kind == kind)
    return select(STATEMENTS).where(*about).order_by(table.seq.desc())
