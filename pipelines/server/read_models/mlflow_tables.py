"""MLflow's registry and tracking tables, in a few queries however many slots there are.

Each query selects tags by key: their primary key is (workspace, key, name, version), so that the index finds them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
)
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLatestMetric, SqlRun, SqlTag
from mlflow.utils.workspace_utils import DEFAULT_WORKSPACE_NAME

from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, AdapterVersion, Tags
from pipelines.registry.slot import Slot
from pipelines.server.read_models.by_version import Key, rows_at

_MODELS: Any = SqlRegisteredModel.__table__
_VERSIONS: Any = SqlModelVersion.__table__
_TAGS: Any = SqlModelVersionTag.__table__
_ALIASES: Any = SqlRegisteredModelAlias.__table__
_RUNS: Any = SqlRun.__table__
_RUN_TAGS: Any = SqlTag.__table__
_METRICS: Any = SqlLatestMetric.__table__
_EXPERIMENTS: Any = SqlExperiment.__table__

_SHOWN_TAGS = (
    *(Tags.VERDICT, Tags.STATUS, Tags.METRIC, Tags.VALUE, Tags.BUNDLE, Tags.BACKBONE, Tags.FINGERPRINT, Tags.DATASET),
    *(Tags.GOLDEN, Tags.REVISION, Tags.DVC_HASH, Tags.CODE, Tags.DIRTY, Tags.FLOW_RUN),
)
_GRID_TAGS = (Tags.STATUS, Tags.BACKBONE, Tags.FINGERPRINT)
_EXISTING = _VERSIONS.c.workspace == DEFAULT_WORKSPACE_NAME, _VERSIONS.c.current_stage != STAGE_DELETED_INTERNAL


@dataclass(frozen=True)
class TrainingRun:
    """An MLflow run of a slot's experiment."""

    id: str
    experiment: str
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    started: str
    """UTC, ISO 8601; empty if the run has no start time."""


def registered_slots(connection: sa.Connection) -> list[Slot]:
    """Return every slot that has a registered model, by site and task."""
    names = connection.scalars(
        sa.select(_MODELS.c.name).where(_MODELS.c.workspace == DEFAULT_WORKSPACE_NAME, _MODELS.c.name.like("elp.%"))
    )
    found = [slot for name in names if (slot := Slot.of_model(name)) is not None]
    return sorted(found, key=lambda slot: (slot.site, slot.task))


def slot_versions(connection: sa.Connection, slot: Slot) -> list[AdapterVersion]:
    """Return all versions of a slot, newest first."""
    numbers = connection.scalars(sa.select(_VERSIONS.c.version).where(_VERSIONS.c.name == slot.model_name, *_EXISTING))
    found = versions_at(connection, [(slot.model_name, number) for number in numbers])
    return sorted(found, key=lambda version: -version.version)


def current_versions(connection: sa.Connection) -> list[AdapterVersion]:
    """Return all champions and challengers, and the newest version of each slot, with the tags of the grid."""
    newest = sa.select(_VERSIONS.c.name, sa.func.max(_VERSIONS.c.version)).group_by(_VERSIONS.c.name)
    keys = [(name, n) for name, n in connection.execute(newest.where(_VERSIONS.c.name.like("elp.%"), *_EXISTING))]
    return versions_at(connection, [*keys, *version_aliases(connection)], _GRID_TAGS)


def versions_by_tag(connection: sa.Connection, key: str, value: str) -> list[Key]:
    """Return the versions whose tag `key` is `value`."""
    query = sa.select(_TAGS.c.name, _TAGS.c.version).where(
        _TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, _TAGS.c.key == key, _TAGS.c.value == value
    )
    return [(name, version) for name, version in connection.execute(query)]


def versions_by_status(connection: sa.Connection) -> dict[str, int]:
    """Return, by status as `AdapterVersion.status` reads it, how many versions of slots exist."""
    # of the two aliases of one version, the later by name is the champion
    named = (
        sa.select(_ALIASES.c.name, _ALIASES.c.version, sa.func.max(_ALIASES.c.alias).label("alias"))
        .where(_ALIASES.c.workspace == DEFAULT_WORKSPACE_NAME, _ALIASES.c.alias.in_([CHAMPION, CHALLENGER]))
        .group_by(_ALIASES.c.name, _ALIASES.c.version)
        .subquery()
    )
    tagged = sa.and_(
        *(_TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, _TAGS.c.key == Tags.STATUS),
        *(_TAGS.c.name == _VERSIONS.c.name, _TAGS.c.version == _VERSIONS.c.version),
    )
    aliased = sa.and_(named.c.name == _VERSIONS.c.name, named.c.version == _VERSIONS.c.version)
    written = sa.func.coalesce(_TAGS.c.value, "candidate")
    # a tag outlives its alias
    without = sa.case((written == CHAMPION, "retired"), (written == CHALLENGER, "candidate"), else_=written)
    status = sa.func.coalesce(named.c.alias, without).label("status")
    query = (
        sa.select(status, sa.func.count())
        .select_from(_VERSIONS.outerjoin(_TAGS, tagged).outerjoin(named, aliased))
        .where(_VERSIONS.c.name.like("elp.%"), *_EXISTING)
        .group_by(status)
    )
    return {str(name): int(number) for name, number in connection.execute(query)}


def versions_at(
    connection: sa.Connection, keys: Iterable[Key], names: Sequence[str] = _SHOWN_TAGS
) -> list[AdapterVersion]:
    """Return those of these versions that exist and belong to a slot, with the tags in `names`."""
    tags: dict[Key, dict[str, str]] = {}
    named = _TAGS.c.workspace == DEFAULT_WORKSPACE_NAME, _TAGS.c.key.in_(names)
    pairs = _TAGS.c.name, _TAGS.c.version, _TAGS.c.key, _TAGS.c.value
    for name, version, key, value in rows_at(connection, keys, _TAGS.c.name, pairs, *named):
        tags.setdefault((name, version), {})[key] = value or ""
    columns = _VERSIONS.c.name, _VERSIONS.c.version, _VERSIONS.c.run_id, _VERSIONS.c.source, _VERSIONS.c.creation_time
    aliases = version_aliases(connection)
    return [
        AdapterVersion(
            slot=slot,
            version=row.version,
            run_id=row.run_id or "",
            source=row.source or "",
            created=_utc(row.creation_time),
            tags=tags.get((row.name, row.version), {}),
            aliases=tuple(sorted(aliases.get((row.name, row.version), ()))),
        )
        for row in rows_at(connection, keys, _VERSIONS.c.name, columns, *_EXISTING)
        if (slot := Slot.of_model(row.name)) is not None
    ]


def version_aliases(connection: sa.Connection) -> dict[Key, list[str]]:
    """Return all champions and challengers of slots, with their aliases."""
    query = sa.select(_ALIASES.c.name, _ALIASES.c.version, _ALIASES.c.alias).where(
        _ALIASES.c.workspace == DEFAULT_WORKSPACE_NAME, _ALIASES.c.alias.in_([CHAMPION, CHALLENGER])
    )
    found: dict[Key, list[str]] = {}
    for name, version, alias in connection.execute(query.where(_ALIASES.c.name.like("elp.%"))):
        found.setdefault((name, version), []).append(alias)
    return found


def last_runs(connection: sa.Connection) -> dict[Slot, TrainingRun]:
    """Return, by slot, the run that started last in the slot's experiment."""
    order = sa.func.row_number().over(partition_by=_RUNS.c.experiment_id, order_by=_RUNS.c.start_time.desc())
    ranked = (
        sa.select(_RUNS.c.run_uuid, _RUNS.c.experiment_id, _RUNS.c.status, _RUNS.c.start_time, order.label("place"))
        .where(_RUNS.c.lifecycle_stage == "active")
        .subquery()
    )
    query = (
        sa.select(_EXPERIMENTS.c.name, ranked)
        .join_from(ranked, _EXPERIMENTS, _EXPERIMENTS.c.experiment_id == ranked.c.experiment_id)
        .where(ranked.c.place == 1, _EXPERIMENTS.c.name.like("elp.%"))
    )
    return {
        slot: TrainingRun(row.run_uuid, str(row.experiment_id), row.status, _utc(row.start_time))
        for row in connection.execute(query)
        if (slot := Slot.of_model(row.name)) is not None
    }


def run_metrics(connection: sa.Connection, runs: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the last values of the metrics of these runs, by run and name."""
    pairs = connection.execute(
        sa.select(_METRICS.c.run_uuid, _METRICS.c.key, _METRICS.c.value).where(_METRICS.c.run_uuid.in_(list(runs)))
    )
    found: dict[str, dict[str, float]] = {}
    for run, key, value in pairs:
        found.setdefault(run, {})[key] = value
    return found


def experiment_of(connection: sa.Connection, run: str) -> str:
    """Return the number of a run's experiment; empty if the run does not exist."""
    found = connection.scalar(sa.select(_RUNS.c.experiment_id).where(_RUNS.c.run_uuid == run))
    return "" if found is None else str(found)


def _utc(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds") if milliseconds else ""
