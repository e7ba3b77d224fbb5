"""A look in MLflow: one run for each reference of a slot, with a point of every score's curve and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.monitoring.entry_text import entry_text, entry_title
from pipelines.monitoring.look import AudioLook
from pipelines.monitoring.look_list import recorded_looks
from pipelines.monitoring.look_report import estimate_text, look_sentence
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import runs
from pipelines.registry.monitor_names import REPORTS, MonitorMetrics, MonitorTags, monitor_experiment
from pipelines.registry.signing.canonical_json import canonical_json
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST = 600
"""Characters of an entry's text."""
_ENTRIES = 20
"""Entries of the list that are logged again and again, so that none is missing after an interruption."""


def log_look(
    client: MlflowClient, slot: Slot, champion: AdapterVersion, look: AudioLook, pages: Mapping[str, str]
) -> str:
    """Log the curves and the pages of a look, and return the id of its run. A repeated call changes nothing.

    `pages` are the report in each language by its file's name, of which `report_name` is the English one.
    """
    from mlflow.entities import Metric

    tags = {"elp.version": str(champion.version), "elp.golden": look.golden}
    title = f"monitor v{champion.version}"
    # not the experiment of the trainings: the last run there is the slot's last training
    run = runs.open_run(client, slot, look.reference, title, tags, experiment=monitor_experiment(slot))
    moment = int(datetime.fromisoformat(look.at).timestamp() * 1000)
    values = {"e_value": look.e_value}
    for move in look.moves:
        values |= {
            f"{MonitorMetrics.EVIDENCE}{move.name}": move.evidence,
            f"{MonitorMetrics.MEDIAN}{move.name}": move.now,
            f"{MonitorMetrics.USUAL}{move.name}": move.usual,
        }
    estimate = look.estimate
    if estimate.value is not None and estimate.low is not None and estimate.high is not None:
        values |= {"estimate": estimate.value, "estimate.low": estimate.low, "estimate.high": estimate.high}
    runs.log_points(client, run, [Metric(name, value, moment, look.number) for name, value in values.items()])
    with tempfile.TemporaryDirectory() as scratch:
        for name, page in pages.items():
            (Path(scratch) / name).write_text(page, encoding="utf-8")
        runs.log_folder(client, run, Path(scratch), REPORTS)
    found = {
        MonitorTags.FOUND: look_sentence(look),
        MonitorTags.AT: look.at,
        MonitorTags.ESTIMATE: estimate_text(look.estimate),
    }
    runs.set_run_tags(client, run, found)
    runs.close_run(client, run)
    return run


def log_entries(client: MlflowClient, run: str, folder: Path) -> None:
    """Give a run the newest decisions, restarts and bounds of a slot's list as tags. A repetition changes nothing."""
    numbered = [(number, entry) for number, entry in enumerate(recorded_looks(folder)) if entry["kind"] != "look"]
    tags = {
        f"{MonitorTags.ENTRY}{number:06d}": canonical_json(
            {
                "at": str(entry["at"]),
                "what": entry_title(entry),
                "text": entry_text(entry)[:_LONGEST],
                "run": str(entry.get("run", "")),
            }
        ).decode()
        for number, entry in numbered[-_ENTRIES:]
    }
    if tags:
        runs.set_run_tags(client, run, tags)
