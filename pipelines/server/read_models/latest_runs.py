"""MLflow's tracking tables: each slot's last run, and the experiment of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

from pipelines.registry.slot import Slot

_RUNS: Any = SqlRun.__table__
_EXPERIMENTS: Any = SqlExperiment.__table__


@dataclass(frozen=True)
class Run:
    """A training run."""

    id: str
    experiment: str
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    started: str
    """UTC, ISO 8601; empty where whoever made the run did not say."""


def last_runs(connection: sa.Connection) -> dict[Slot, Run]:
    """By slot, the run that started last in the experiment of its name."""
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
    rows = [(Slot.of_model(row.name), row) for row in connection.execute(query)]
    return {
        slot: Run(row.run_uuid, str(row.experiment_id), row.status, _moment(row.start_time))
        for slot, row in rows
        if slot
    }


def experiments(connection: sa.Connection, runs: Iterable[str]) -> dict[str, str]:
    """The experiment's number by run, of the runs that are there."""
    query = sa.select(_RUNS.c.run_uuid, _RUNS.c.experiment_id).where(_RUNS.c.run_uuid.in_(sorted(set(runs))))
    return {run: str(experiment) for run, experiment in connection.execute(query)}


def _moment(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds") if milliseconds else ""
