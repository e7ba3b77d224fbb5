"""Looks of the monitor in MLflow, and a decision after them, for tests of pages: nothing was measured for them."""

from __future__ import annotations

from pathlib import Path

from pipelines.monitoring.error_estimate import ErrorEstimate
from pipelines.monitoring.look import AudioLook, ScoreMove
from pipelines.monitoring.look_list import append_entry, chained
from pipelines.monitoring.look_run import log_entries, log_look
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion
from pipelines.registry.monitor_names import UNITS, report_name
from pipelines.registry.slot import Slot


def log_looks(uri: str, slot: Slot, folder: Path) -> None:
    """Log three looks at a slot; the last one raised an alarm, and started a retraining."""
    client = connect(uri)
    champion = find_champion(client, slot)
    assert champion is not None
    for number in (1, 2, 3):
        moves = tuple(
            ScoreMove(name, 20.0, 20.0 - number, -float(number), 0.36 * number / (1 + place), number == 3 and not place)
            for place, name in enumerate(sorted(UNITS, reverse=True))
        )
        at = f"2026-01-0{number}T06:00:00+00:00"
        look = AudioLook(
            slot=str(slot), number=number, at=at, day=at[:10], reference="r", version=champion.version,
            golden="golden/x/asr/v1", reference_blocks=30, clips=40, blocks=4, known=0, short={}, moves=moves,
            e_value=1.0, alarm_since=at if number == 3 else "", estimate=ErrorEstimate(0.1, 0.05, 0.2),
        )  # fmt: skip
        run = log_look(client, slot, champion, look, {report_name(number): "<p>a report</p>"})
    reasons = ["the audio changed and the champion's confidence fell"]
    entry = {"kind": "retrain", "at": at, "outcome": "started", "reasons": reasons, "run": f"{uri}/prefect/runs/1"}
    append_entry(folder, chained(entry, ""))
    log_entries(client, run, folder)
