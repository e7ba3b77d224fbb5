"""A look in MLflow: one run for each reference of a slot, with a point of every score's curve and the report."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.monitoring.look import AudioLook
from pipelines.monitoring.look_report import look_sentence
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import runs
from pipelines.registry.monitor_names import MonitorTags, monitor_experiment
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

REPORTS = "monitor"
"""Folder of the reports among the artifacts of the run."""


def log_look(client: MlflowClient, slot: Slot, champion: AdapterVersion, look: AudioLook, report: Path) -> str:
    """Log the curves and the report of a look, and return the id of its run. A repeated call changes nothing."""
    from mlflow.entities import Metric

    tags = {"elp.version": str(champion.version), "elp.golden": look.golden}
    title = f"monitor v{champion.version}"
    # not the experiment of the trainings: the last run there is the slot's last training
    run = runs.open_run(client, slot, look.reference, title, tags, experiment=monitor_experiment(slot))
    moment = int(datetime.fromisoformat(look.at).timestamp() * 1000)
    values = {"e_value": look.e_value}
    for move in look.moves:
        values |= {f"evidence.{move.name}": move.evidence, f"median.{move.name}": move.now}
    runs.log_points(client, run, [Metric(name, value, moment, look.number) for name, value in values.items()])
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(report, Path(scratch) / f"look-{look.number:05d}.html")
        runs.log_folder(client, run, Path(scratch), REPORTS)
    runs.set_run_tags(client, run, {MonitorTags.FOUND: look_sentence(look), MonitorTags.AT: look.at})
    runs.close_run(client, run)
    return run
