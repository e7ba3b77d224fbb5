"""All monitored slots of a workspace, and those that changed: the decision over the fleet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.monitoring.fleet_alarms import RATE, changed_slots, slot_e_value
from pipelines.monitoring.look_list import monitor_folder
from pipelines.monitoring.slot_state import load_state
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class SlotEvidence:
    """The monitor of one slot after its last look."""

    slot: str
    looks: int
    day: str
    """Day of the last look with new sessions."""
    e_value: float
    alarm_since: str
    """Moment of the look that raised the slot's own alarm; empty without an alarm."""
    changed: bool
    """Whether e-BH over all slots reports it: of the reported slots, 5 % at most are expected to be false."""


def monitored_slots(state: Path) -> list[Slot]:
    """Return the slots that were looked at in a workspace, by name."""
    found = (path.parent for path in (state / "monitor").glob("*/*/state.json"))
    return sorted((Slot(folder.parent.name, folder.name) for folder in found), key=str)


def fleet_evidence(state: Path, rate: float = RATE) -> list[SlotEvidence]:
    """Return every monitored slot below a workspace's state folder, the one with most evidence first.

    Raises:
        WorkspaceError: The state of a slot is damaged.
    """
    kept = {str(slot): load_state(monitor_folder(state, slot)) for slot in monitored_slots(state)}
    e_values = {slot: slot_e_value(one.detectors) for slot, one in kept.items() if one}
    changed = changed_slots(e_values, rate)
    found = [
        SlotEvidence(slot, one.looks, one.day, e_values[slot], one.alarm_since, slot in changed)
        for slot, one in kept.items()
        if one
    ]
    return sorted(found, key=lambda one: (-one.e_value, one.slot))
