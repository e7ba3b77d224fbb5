"""Every registered version with what the retention needs to know of it, read from the database in a few queries."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag, SqlRegisteredModelAlias
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag

from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, OPENED_TAG, Tags
from pipelines.registry.holds import Hold
from pipelines.registry.retention import StoredAdapter, learned_bundles
from pipelines.registry.slot import Slot
from pipelines.server.holds import stored_holds
from pipelines.server.ledger import LEDGER, STATEMENTS, TRASH
from pipelines.server.read_models.adapter_history import champion_periods
from pipelines.server.read_models.signed_records import read_lineage
from pipelines.server.storage.override_requests import open_requests

_SOURCE = "models:/"
_FEW = 500
_parents: dict[str, tuple[str, ...]] = {}
"""The bundles that a lineage statement learned from, by its digest: a statement never changes, and most have none."""


@dataclass
class _Known:
    """What the tables say about versions, by slot and version."""

    at: dict[tuple[str, int], str] = field(default_factory=dict)
    """When the newest entry about it was made."""
    bundle: dict[tuple[str, int], str] = field(default_factory=dict)
    dataset: dict[tuple[str, int], str] = field(default_factory=dict)
    parents: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict)
    outcome: dict[tuple[str, int], str] = field(default_factory=dict)
    former: set[tuple[str, int]] = field(default_factory=set)
    override: set[tuple[str, int]] = field(default_factory=set)


def stored_adapters(
    connection: sa.Connection, slot: str = "", sizes: Mapping[str, int] | None = None, now: datetime | None = None
) -> list[StoredAdapter]:
    """Return the versions of one slot or of all that are in the registry, by slot and version.

    `sizes` are the bytes of the logged models, by their ids.
    """
    known, holds = _known(connection), stored_holds(connection, now)
    aliases = _aliases(connection)
    # a dataset version that is held keeps no adapter, a speaker neither: they keep data
    covering = defaultdict[str, list[Hold]](list)
    for hold in holds:
        covering[str(hold.held.slot or "")].append(hold)
    found = []
    for row in connection.execute(_live_versions()):
        name = Slot.of_model(row.name)
        if name is None or slot not in ("", str(name)):
            continue
        key, model = (str(name), int(row.version)), (row.source or "").removeprefix(_SOURCE)
        kept = next((one for one in covering[key[0]] if one.held.covers_adapter(*key)), None)
        found.append(
            StoredAdapter(
                *key,
                bundle=known.bundle.get(key, ""),
                since=max(known.at.get(key, ""), _iso(row.creation_time)),
                run=row.run_id or "",
                model=model if model.startswith("m-") else "",
                champion=CHAMPION in aliases.get(key, ()),
                challenger=CHALLENGER in aliases.get(key, ()),
                former=key in known.former,
                override=key in known.override,
                hold=kept.summary if kept else "",
                outcome=known.outcome.get(key, ""),
                parent="".join(known.parents.get(key, ())[:1]),
                dataset=known.dataset.get(key, ""),
                bytes=(sizes or {}).get(model, 0),
                learned=known.parents.get(key, ())[1:],
            )
        )
    return sorted(found, key=lambda one: one.key)


def datasets_in_use(connection: sa.Connection, since: datetime) -> set[str]:
    """Return the dataset versions that a training run reads which was begun or continued after `since`, and is open."""
    tag, opened, started = sa.orm.aliased(SqlTag), sa.orm.aliased(SqlTag), int(since.timestamp() * 1000)
    running = (
        sa.select(tag.value, SqlRun.start_time, opened.value)
        .join(SqlRun, SqlRun.run_uuid == tag.run_uuid)
        .join(SqlExperiment, SqlExperiment.experiment_id == SqlRun.experiment_id)
        .outerjoin(opened, sa.and_(opened.run_uuid == SqlRun.run_uuid, opened.key == OPENED_TAG))
        .where(
            tag.key == Tags.DATASET,
            SqlExperiment.name.startswith("elp."),
            SqlRun.status.in_(("RUNNING", "SCHEDULED")),
        )
    )
    rows = connection.execute(running)
    return {str(dataset) for dataset, began, again in rows if max(began or 0, opened_at(again)) >= started}


def opened_at(tag: str | None) -> int:
    """Return when a training was tried last, from the tag of its run: milliseconds since the epoch, 0 without one."""
    # the run itself has its first attempt; anyone who trains may set the tag to something else
    return int(tag) if tag and tag.isascii() and tag.isdigit() and len(tag) < 20 else 0


def _live_versions() -> Any:
    table = SqlModelVersion
    return sa.select(table.name, table.version, table.source, table.run_id, table.creation_time).where(
        table.name.startswith("elp."), table.current_stage != STAGE_DELETED_INTERNAL
    )


def _aliases(connection: sa.Connection) -> dict[tuple[str, int], set[str]]:
    table, found = SqlRegisteredModelAlias, defaultdict[tuple[str, int], set[str]](set)
    for row in connection.execute(sa.select(table.name, table.version, table.alias)):
        if slot := Slot.of_model(row.name):
            found[str(slot), int(row.version)].add(row.alias)
    return found


def _known(connection: sa.Connection) -> _Known:
    known, tag = _Known(), SqlModelVersionTag
    # a version without a lineage statement says by its tags what it is
    for row in connection.execute(sa.select(tag).where(tag.key.in_((Tags.BUNDLE, Tags.DATASET)))):
        if slot := Slot.of_model(row.name):
            target = known.bundle if row.key == Tags.BUNDLE else known.dataset
            target[str(slot), int(row.version)] = row.value or ""
    _learn_parents(connection)
    # without the envelopes: they are most of the table
    columns = [STATEMENTS.c[name] for name in ("digest", "kind", "model", "version", "bundle", "dataset", "outcome")]
    for row in connection.execute(sa.select(*columns).order_by(STATEMENTS.c.seq)):
        if (slot := Slot.of_model(row.model)) is None:
            continue
        key = str(slot), int(row.version)
        if row.kind == "lineage":
            known.bundle[key], known.dataset[key], known.parents[key] = row.bundle, row.dataset, _parents[row.digest]
        else:
            known.outcome[key] = row.outcome
    about = sa.func.coalesce(LEDGER.c.after_version, LEDGER.c.before_version)
    newest = sa.select(LEDGER.c.slot, about, sa.func.max(LEDGER.c.at)).where(LEDGER.c.event != "refused")
    for slot_name, version, at in connection.execute(newest.group_by(LEDGER.c.slot, about)):
        known.at[slot_name, version] = at
    for period in champion_periods(connection):
        # the end of a period has an entry about the version that follows
        key = period.slot, period.version
        known.former.add(key)
        known.at[key] = max(known.at.get(key, ""), period.until or "")
    for request in open_requests(connection):
        known.override |= {(request.slot, request.version)}
        known.override |= {(request.slot, request.before)} if request.before is not None else set()
    return known


def needed_parents(connection: sa.Connection, bundles: Iterable[str]) -> set[str]:
    """Return the bundles that the live versions and these bundles learned from, up to the first ones."""
    live = {one.bundle for one in stored_adapters(connection)}
    lineages = sa.select(STATEMENTS.c.bundle, STATEMENTS.c.digest).where(STATEMENTS.c.kind == "lineage")
    # those of deleted versions, too: their statements stay, and a chain of parents may lead through them
    learned = defaultdict[str, set[str]](set)
    for bundle, digest in connection.execute(lineages):
        learned[bundle].update(_parents[digest])
    return learned_bundles({*live, *bundles}, learned)


def _learn_parents(connection: sa.Connection) -> None:
    """Read the parents in the lineages that this process has not read before."""
    lineages = STATEMENTS.c.kind == "lineage"
    unread = set(connection.scalars(sa.select(STATEMENTS.c.digest).where(lineages))) - _parents.keys()
    if not unread:
        return
    # all of them, or one by one: after the first call only a few are new
    few = [STATEMENTS.c.digest.in_(unread)] if len(unread) <= _FEW else []
    for row in connection.execute(sa.select(STATEMENTS).where(lineages, *few)):
        if row.digest in unread:
            _parents[row.digest] = _learned(row)


def _learned(row: Any) -> tuple[str, ...]:
    # a lineage that cannot be read names no parent; the audit reports it
    with suppress(AttestationError, ConfigError, LookupError, AttributeError):
        return tuple(one.bundle for one in read_lineage(row).statement.learned)
    return ()


def _iso(milliseconds: int | None) -> str:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC).isoformat(timespec="microseconds")


def same_origin(connection: sa.Connection, adapters: Iterable[StoredAdapter]) -> set[str]:
    """Return the runs and logged models of versions that others are based on, too: live ones, or in the trash."""
    wanted = {one for adapter in adapters for one in (adapter.run, adapter.model) if one}
    found: set[str] = set()
    for row in connection.execute(_live_versions()):
        found |= {row.run_id or "", (row.source or "").removeprefix(_SOURCE)} & wanted
    for text in connection.scalars(sa.select(TRASH.c.row).where(TRASH.c.state == "trashed")):
        before = json.loads(text)
        found |= {before["run"], before["model_id"]} & wanted
    return found
