"""The monitor of a slot: the curves of its looks, its decisions and restarts, and where the reports are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLatestMetric, SqlMetric, SqlRun, SqlTag

from pipelines.errors import AttestationError
from pipelines.registry.monitor_names import TITLES, UNITS, MonitorMetrics, MonitorTags, monitor_experiment
from pipelines.registry.signing.canonical_json import parse_json
from pipelines.registry.slot import Slot

_RUNS: Any = SqlRun.__table__
_TAGS: Any = SqlTag.__table__
_POINTS: Any = SqlMetric.__table__
_LATEST: Any = SqlLatestMetric.__table__
_EXPERIMENTS: Any = SqlExperiment.__table__
_LOOKS = 400
"""Looks that the curves show: a year of daily ones."""
_ENTRIES = 30
_ALARM = "alarm"


@dataclass(frozen=True)
class LookPoint:
    """One score at one look."""

    look: int
    at: datetime
    evidence: float
    """Share of the way to an alarm: 0 to 1 and more."""


@dataclass(frozen=True)
class ScoreCurve:
    """The evidence on one score over the looks at the present reference."""

    name: str
    points: tuple[LookPoint, ...]
    """By number of the look; at least one."""
    usual: float | None
    """Median of the reference; None if it was not logged."""
    now: float | None
    """Median of the last sessions."""

    @property
    def title(self) -> str:
        """Return the name as people read it."""
        return TITLES.get(self.name, self.name)

    @property
    def change(self) -> tuple[str, str]:
        """Return the usual and the present value with their unit."""
        usual, now = (
            "–" if value is None else f"{value:.3g}{UNITS.get(self.name, '')}" for value in (self.usual, self.now)
        )
        return usual, now


@dataclass(frozen=True)
class MonitorEntry:
    """A decision on a retraining, a restart of the monitor, or a bound from references."""

    at: str
    what: str
    text: str
    run: str
    """Address of the run that was started; empty without one."""


@dataclass(frozen=True)
class SiteAudio:
    """What the page of a slot shows of its monitor."""

    run: str
    """The MLflow run with the last look."""
    experiment: str
    found: str
    """The outcome of the last look in a sentence."""
    at: str
    """Moment of the last look, UTC."""
    estimate: str
    """The champion's estimated error at the site, or why it is not known; empty if it was not logged."""
    curves: tuple[ScoreCurve, ...]
    """The one with most evidence first."""
    entries: tuple[MonitorEntry, ...]
    """Newest first."""

    @property
    def alarm(self) -> bool:
        """Return whether an alarm is open."""
        return self.found.startswith(_ALARM)

    @property
    def looks(self) -> list[tuple[int, datetime, ScoreCurve, float]]:
        """Return each look, the newest first: number, moment, the score with most evidence, and that evidence."""
        best: dict[int, tuple[int, datetime, ScoreCurve, float]] = {}
        for curve in self.curves:
            for point in curve.points:
                if point.look not in best or point.evidence > best[point.look][3]:
                    best[point.look] = (point.look, point.at, curve, point.evidence)
        return [best[look] for look in sorted(best, reverse=True)]


def read_site_audio(connection: sa.Connection, slot: Slot) -> SiteAudio | None:
    """Return the monitor of a slot; None if it was not monitored."""
    moment = _TAGS.alias("moment")
    row = connection.execute(
        sa.select(_RUNS.c.run_uuid, _RUNS.c.experiment_id, moment.c.value.label("at"))
        .join_from(_RUNS, _EXPERIMENTS, _EXPERIMENTS.c.experiment_id == _RUNS.c.experiment_id)
        .join(moment, sa.and_(moment.c.run_uuid == _RUNS.c.run_uuid, moment.c.key == MonitorTags.AT))
        .where(_EXPERIMENTS.c.name == monitor_experiment(slot), _RUNS.c.lifecycle_stage == "active")
        .order_by(moment.c.value.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    wanted = (MonitorTags.FOUND, MonitorTags.ESTIMATE)
    tags = dict(
        connection.execute(
            sa.select(_TAGS.c.key, _TAGS.c.value).where(_TAGS.c.run_uuid == row.run_uuid, _TAGS.c.key.in_(wanted))
        )
        .tuples()
        .all()
    )
    return SiteAudio(
        run=row.run_uuid,
        experiment=str(row.experiment_id),
        found=tags.get(MonitorTags.FOUND, ""),
        at=row.at,
        estimate=tags.get(MonitorTags.ESTIMATE, ""),
        curves=_curves(connection, row.run_uuid),
        entries=_entries(connection, row.experiment_id),
    )


def _curves(connection: sa.Connection, run: str) -> tuple[ScoreCurve, ...]:
    latest: Mapping[str, float] = dict(
        connection.execute(sa.select(_LATEST.c.key, _LATEST.c.value).where(_LATEST.c.run_uuid == run)).tuples().all()
    )
    names = [key.removeprefix(MonitorMetrics.EVIDENCE) for key in latest if key.startswith(MonitorMetrics.EVIDENCE)]
    keys = [MonitorMetrics.EVIDENCE + name for name in names]
    newest = connection.scalar(sa.select(sa.func.max(_POINTS.c.step)).where(_POINTS.c.run_uuid == run)) or 0
    points: dict[str, list[LookPoint]] = {}
    for key, look, moment, value in connection.execute(
        sa.select(_POINTS.c.key, _POINTS.c.step, _POINTS.c.timestamp, _POINTS.c.value)
        .where(_POINTS.c.run_uuid == run, _POINTS.c.key.in_(keys), _POINTS.c.step > newest - _LOOKS)
        .order_by(_POINTS.c.step)
    ):
        point = LookPoint(look, datetime.fromtimestamp(moment / 1000, UTC), value)
        points.setdefault(key.removeprefix(MonitorMetrics.EVIDENCE), []).append(point)
    found = [
        ScoreCurve(name, tuple(own), latest.get(MonitorMetrics.USUAL + name), latest.get(MonitorMetrics.MEDIAN + name))
        for name, own in points.items()
    ]
    return tuple(sorted(found, key=lambda curve: (-curve.points[-1].evidence, curve.name)))


def _entries(connection: sa.Connection, experiment: int) -> tuple[MonitorEntry, ...]:
    query = (
        sa.select(_TAGS.c.key, _TAGS.c.value)
        .join_from(_TAGS, _RUNS, _RUNS.c.run_uuid == _TAGS.c.run_uuid)
        .where(
            _RUNS.c.experiment_id == experiment,
            _RUNS.c.lifecycle_stage == "active",
            _TAGS.c.key.like(f"{MonitorTags.ENTRY}%"),
        )
        # a new reference has another run, and the newest entries once more
        .distinct()
        .order_by(_TAGS.c.key.desc())
        .limit(_ENTRIES)
    )
    return tuple(_entry(value) for _, value in connection.execute(query))


def _entry(value: str) -> MonitorEntry:
    try:
        given = parse_json(value.encode(), "an entry of the monitor")
        texts = [str(given[name]) for name in ("at", "what", "text", "run")]
        datetime.fromisoformat(texts[0])
    except (AttestationError, KeyError, TypeError, ValueError):
        # a tag that a person wrote: nothing else of the page depends on it
        return MonitorEntry("", "not readable", value[:200], "")
    at, what, text, run = texts
    # a tag is not signed: only an address of a page is made a link
    return MonitorEntry(at, what, text, run if run.startswith(("http://", "https://")) else "")
