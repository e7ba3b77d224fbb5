"""MLflow's registry tables, read in a few queries however many slots there are.

Every query names its tags: their primary key is (workspace, key, name, version), so that each is a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
)
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from pipelines.clients.versions import CHALLENGER, CHAMPION, AdapterVersion, Tags
from pipelines.settings import Slot

MODELS: Any = SqlRegisteredModel.__table__
VERSIONS: Any = SqlModelVersion.__table__
TAGS: Any = SqlModelVersionTag.__table__
ALIASES: Any = SqlRegisteredModelAlias.__table__

SHOWN = (
    *(Tags.VERDICT, Tags.STATUS, Tags.METRIC, Tags.VALUE, Tags.BUNDLE, Tags.BACKBONE, Tags.FINGERPRINT, Tags.DATASET),
    *(Tags.GOLDEN, Tags.REVISION, Tags.DVC_HASH, Tags.CODE, Tags.DIRTY, Tags.FLOW_RUN),
)
"""Tags that the pages show."""
_DELETED = "Deleted_Internal"

Key = tuple[str, int]
"""Model name and version."""


def slots(connection: sa.Connection) -> list[Slot]:
    """Every slot that has a registered model, by site and task."""
    names = connection.scalars(
        sa.select(MODELS.c.name).where(MODELS.c.workspace == DEFAULT_WORKSPACE_NAME, MODELS.c.name.like("elp.%"))
    )
    found = [slot for name in names if (slot := Slot.of_model(name)) is not None]
    return sorted(found, key=lambda slot: (slot.site, slot.task))


def versions_of(connection: sa.Connection, slot: Slot) -> list[AdapterVersion]:
    """All versions of a slot, newest first."""
    rows = connection.execute(_versions().where(VERSIONS.c.name == slot.model_name)).all()
    named = _aliases(connection, [slot.model_name])
    tags = _tags(connection, TAGS.c.name == slot.model_name)
    return sorted(_build(rows, tags, named), key=lambda version: -version.version)


def marked(connection: sa.Connection) -> list[AdapterVersion]:
    """The versions behind an alias champion or challenger, and the newest of each slot."""
    newest = (
        sa.select(VERSIONS.c.name, sa.func.max(VERSIONS.c.version).label("version"))
        .where(VERSIONS.c.workspace == DEFAULT_WORKSPACE_NAME, VERSIONS.c.name.like("elp.%"))
        .where(VERSIONS.c.current_stage != _DELETED)
        .group_by(VERSIONS.c.name)
    )
    aliased = sa.select(ALIASES.c.name, ALIASES.c.version).where(
        ALIASES.c.workspace == DEFAULT_WORKSPACE_NAME, ALIASES.c.alias.in_([CHAMPION, CHALLENGER])
    )
    return _at(connection, sa.union(newest, aliased).subquery(), _aliases(connection, None))


def tagged(connection: sa.Connection, key: str, value: str) -> list[AdapterVersion]:
    """The versions whose tag `key` is `value`, by slot and number."""
    wanted = (
        sa.select(TAGS.c.name, TAGS.c.version)
        .where(TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, TAGS.c.key == key, TAGS.c.value == value)
        .subquery()
    )
    found = _at(connection, wanted, _aliases(connection, None))
    return sorted(found, key=lambda v: (v.slot.site, v.slot.task, v.version))


def _at(connection: sa.Connection, wanted: Any, named: Mapping[Key, Sequence[str]]) -> list[AdapterVersion]:
    same = sa.and_(VERSIONS.c.name == wanted.c.name, VERSIONS.c.version == wanted.c.version)
    rows = connection.execute(_versions().join(wanted, same)).all()
    tags: dict[Key, dict[str, str]] = {}
    joined = sa.and_(TAGS.c.name == wanted.c.name, TAGS.c.version == wanted.c.version)
    for name, version, key, value in connection.execute(_tag_rows().join(wanted, joined)):
        tags.setdefault((name, version), {})[key] = value or ""
    return _build(rows, tags, named)


def _versions() -> Any:
    columns = VERSIONS.c.name, VERSIONS.c.version, VERSIONS.c.run_id, VERSIONS.c.source, VERSIONS.c.creation_time
    return sa.select(*columns).where(
        VERSIONS.c.workspace == DEFAULT_WORKSPACE_NAME, VERSIONS.c.current_stage != _DELETED
    )


def _tag_rows() -> Any:
    return sa.select(TAGS.c.name, TAGS.c.version, TAGS.c.key, TAGS.c.value).where(
        TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, TAGS.c.key.in_(SHOWN)
    )


def _tags(connection: sa.Connection, where: Any) -> dict[Key, dict[str, str]]:
    found: dict[Key, dict[str, str]] = {}
    for name, version, key, value in connection.execute(_tag_rows().where(where)):
        found.setdefault((name, version), {})[key] = value or ""
    return found


def _aliases(connection: sa.Connection, names: Sequence[str] | None) -> dict[Key, list[str]]:
    query = sa.select(ALIASES.c.name, ALIASES.c.version, ALIASES.c.alias).where(
        ALIASES.c.workspace == DEFAULT_WORKSPACE_NAME
    )
    if names is not None:
        query = query.where(ALIASES.c.name.in_(names))
    found: dict[Key, list[str]] = {}
    for name, version, alias in connection.execute(query):
        found.setdefault((name, version), []).append(alias)
    return found


def _build(
    rows: Iterable[Any], tags: Mapping[Key, Mapping[str, str]], aliases: Mapping[Key, Sequence[str]]
) -> list[AdapterVersion]:
    return [
        AdapterVersion(
            slot=slot,
            version=row.version,
            run_id=row.run_id or "",
            source=row.source or "",
            created=datetime.fromtimestamp((row.creation_time or 0) / 1000, UTC).isoformat(timespec="seconds"),
            tags=tags.get((row.name, row.version), {}),
            aliases=tuple(sorted(aliases.get((row.name, row.version), ()))),
        )
        for row in rows
        if (slot := Slot.of_model(row.name)) is not None
    ]
