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

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHALLENGER, CHAMPION, Tags
from pipelines.server.read_models.by_version import Key, rows_at

MODELS: Any = SqlRegisteredModel.__table__
VERSIONS: Any = SqlModelVersion.__table__
TAGS: Any = SqlModelVersionTag.__table__
ALIASES: Any = SqlRegisteredModelAlias.__table__

SHOWN = (
    *(Tags.VERDICT, Tags.STATUS, Tags.METRIC, Tags.VALUE, Tags.BUNDLE, Tags.BACKBONE, Tags.FINGERPRINT, Tags.DATASET),
    *(Tags.GOLDEN, Tags.REVISION, Tags.DVC_HASH, Tags.CODE, Tags.DIRTY, Tags.FLOW_RUN),
)
"""Tags that the pages show."""
_MARKED = (Tags.STATUS, Tags.BACKBONE, Tags.FINGERPRINT)
_DELETED = "Deleted_Internal"


def slots(connection: sa.Connection) -> list[Slot]:
    """Every slot that has a registered model, by site and task."""
    names = connection.scalars(
        sa.select(MODELS.c.name).where(MODELS.c.workspace == DEFAULT_WORKSPACE_NAME, MODELS.c.name.like("elp.%"))
    )
    found = [slot for name in names if (slot := Slot.of_model(name)) is not None]
    return sorted(found, key=lambda slot: (slot.site, slot.task))


def versions_of(connection: sa.Connection, slot: Slot) -> list[AdapterVersion]:
    """All versions of a slot, newest first."""
    numbers = connection.scalars(_rows(VERSIONS.c.version).where(VERSIONS.c.name == slot.model_name))
    found = versions_at(connection, [(slot.model_name, number) for number in numbers])
    return sorted(found, key=lambda version: -version.version)


def marked(connection: sa.Connection) -> list[AdapterVersion]:
    """The versions behind an alias champion or challenger, and the newest of each slot."""
    newest = _rows(VERSIONS.c.name, sa.func.max(VERSIONS.c.version)).group_by(VERSIONS.c.name)
    keys = {(name, version) for name, version in connection.execute(newest.where(VERSIONS.c.name.like("elp.%")))}
    return versions_at(connection, [*keys, *aliases(connection)], _MARKED)


def tagged(connection: sa.Connection, key: str, value: str) -> list[Key]:
    """The versions whose tag `key` is `value`, champions first, then by name and number."""
    query = sa.select(TAGS.c.name, TAGS.c.version).where(
        TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, TAGS.c.key == key, TAGS.c.value == value
    )
    named = aliases(connection)
    found = [(name, version) for name, version in connection.execute(query)]
    return sorted(found, key=lambda one: (CHAMPION not in named.get(one, ()), *one))


def versions_at(connection: sa.Connection, keys: Iterable[Key], names: Sequence[str] = SHOWN) -> list[AdapterVersion]:
    """These versions with these of their tags, as far as they are slots' and still there."""
    tags: dict[Key, dict[str, str]] = {}
    there = VERSIONS.c.workspace == DEFAULT_WORKSPACE_NAME, VERSIONS.c.current_stage != _DELETED
    named = TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, TAGS.c.key.in_(names)
    pairs = TAGS.c.name, TAGS.c.version, TAGS.c.key, TAGS.c.value
    for name, version, key, value in rows_at(connection, keys, TAGS.c.name, pairs, *named):
        tags.setdefault((name, version), {})[key] = value or ""
    shown = VERSIONS.c.name, VERSIONS.c.version, VERSIONS.c.run_id, VERSIONS.c.source, VERSIONS.c.creation_time
    return _build(rows_at(connection, keys, VERSIONS.c.name, shown, *there), tags, aliases(connection))


def _rows(*columns: Any) -> Any:
    """A selection from the versions that were not deleted."""
    return sa.select(*columns).where(
        VERSIONS.c.workspace == DEFAULT_WORKSPACE_NAME, VERSIONS.c.current_stage != _DELETED
    )


def aliases(connection: sa.Connection) -> dict[Key, list[str]]:
    """Every version behind the alias champion or challenger."""
    query = sa.select(ALIASES.c.name, ALIASES.c.version, ALIASES.c.alias).where(
        ALIASES.c.workspace == DEFAULT_WORKSPACE_NAME, ALIASES.c.alias.in_([CHAMPION, CHALLENGER])
    )
    found: dict[Key, list[str]] = {}
    for name, version, alias in connection.execute(query.where(ALIASES.c.name.like("elp.%"))):
        found.setdefault((name, version), []).append(alias)
    return found


def _build(
    rows: Iterable[Any], tags: Mapping[Key, Mapping[str, str]], named: Mapping[Key, Sequence[str]]
) -> list[AdapterVersion]:
    return [
        AdapterVersion(
            slot=slot,
            version=row.version,
            run_id=row.run_id or "",
            source=row.source or "",
            created=datetime.fromtimestamp((row.creation_time or 0) / 1000, UTC).isoformat(timespec="seconds"),
            tags=tags.get((row.name, row.version), {}),
            aliases=tuple(sorted(named.get((row.name, row.version), ()))),
        )
        for row in rows
        if (slot := Slot.of_model(row.name)) is not None
    ]
