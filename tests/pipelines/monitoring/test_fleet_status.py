from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.monitoring.change_detector import start_detector
from pipelines.monitoring.fleet_status import fleet_evidence, monitored_slots
from pipelines.monitoring.look_list import monitor_folder
from pipelines.monitoring.slot_state import SlotState, save_state
from pipelines.registry.slot import Slot


def _keep(state: Path, slot: Slot, evidence: float, alarm: str = "") -> None:
    detector = start_detector(9)
    capital = np.full(detector.log_capital.shape, np.log(evidence / detector.log_capital.size))
    detectors = {name: type(detector)(detector.counts, capital, 0.5) for name in ("distance", "snr_db")}
    save_state(monitor_folder(state, slot), SlotState("k", detectors, "2026-01-01", alarm_since=alarm, looks=3))


def test_all_monitored_slots_are_listed_and_the_changed_ones_marked(tmp_path: Path) -> None:
    assert fleet_evidence(tmp_path) == []
    _keep(tmp_path, Slot("plant-a", "asr"), 0.3)
    _keep(tmp_path, Slot("plant-b", "asr"), 150.0, "2026-01-01T00:00:00+00:00")
    _keep(tmp_path, Slot("plant-b", "ser"), 25.0)
    assert [str(slot) for slot in monitored_slots(tmp_path)] == ["plant-a/asr", "plant-b/asr", "plant-b/ser"]
    found = fleet_evidence(tmp_path)
    # one slot alone would need 20; the second of three needs 3 / (0.05 * 2)
    assert [(one.slot, one.changed, bool(one.alarm_since), one.looks) for one in found] == [
        ("plant-b/asr", True, True, 3), ("plant-b/ser", False, False, 3), ("plant-a/asr", False, False, 3)
    ]  # fmt: skip
    _keep(tmp_path, Slot("plant-b", "ser"), 31.0)
    assert [one.changed for one in fleet_evidence(tmp_path)] == [True, True, False]
