"""What the monitor keeps of a slot between two looks: the evidence of each score, and the blocks that it counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from elp_core.files import write_whole
from pipelines.errors import AttestationError, WorkspaceError
from pipelines.monitoring.change_detector import TILTS, DetectorState, start_detector
from pipelines.monitoring.reference_record import ReferenceRecord
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.signing.canonical_json import parse_json

STATE_FILE = "state.json"
RECENT = 200
"""Blocks whose values are kept for plots and medians."""


@dataclass(frozen=True)
class SlotState:
    """The monitor of a slot after its last look."""

    reference: str
    """Key of the reference that the evidence is against."""
    detectors: Mapping[str, DetectorState]
    """By score."""
    day: str = ""
    """Day of the last look, such as 2026-11-29."""
    counted: tuple[str, ...] = ()
    """Signs of the blocks that were counted against this reference, so that no block counts twice."""
    recent: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The last values of each score."""
    alarm_since: str = ""
    """Moment of the look that raised the alarm; empty without an alarm. It ends with a restart or a new reference."""
    looks: int = 0
    entry: Mapping[str, Any] = field(default_factory=dict)
    """Last entry of the list of looks."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a capital of zero is null."""
        return {
            "reference": self.reference,
            "day": self.day,
            "counted": list(self.counted),
            "alarm_since": self.alarm_since,
            "looks": self.looks,
            "entry": dict(self.entry),
            "recent": {name: list(values) for name, values in self.recent.items()},
            "detectors": {name: _packed(state) for name, state in self.detectors.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SlotState:
        """Read what `to_json` wrote."""
        return cls(
            reference=str(values["reference"]),
            detectors={str(name): _unpacked(packed) for name, packed in values["detectors"].items()},
            day=str(values["day"]),
            counted=tuple(map(str, values["counted"])),
            recent={str(name): tuple(map(float, kept)) for name, kept in values["recent"].items()},
            alarm_since=str(values["alarm_since"]),
            looks=int(values["looks"]),
            entry=dict(values["entry"]),
        )


def state_for(record: ReferenceRecord, kept: SlotState | None) -> SlotState:
    """Return the state against a reference: the kept one, or a new one that continues the list of looks.

    A reference that replaces another one has no capital of a first day.
    """
    key = record.source.key
    if kept and kept.reference == key:
        return kept
    detectors = {name: start_detector(len(record.blocks), first=kept is None) for name in record.names}
    if kept is None:
        return SlotState(key, detectors)
    return SlotState(key, detectors, day=kept.day, looks=kept.looks, entry=kept.entry)


def restarted(kept: SlotState) -> SlotState:
    """Return a state without evidence and without alarm. The blocks that were counted do not count again."""
    detectors = {
        name: start_detector(state.counts.shape[-1] - 1, first=False) for name, state in kept.detectors.items()
    }
    return replace(kept, detectors=detectors, recent={}, alarm_since="")


def save_state(folder: Path, state: SlotState) -> None:
    """Write the state of a slot; it is on the disk when this returns."""
    write_whole(folder / STATE_FILE, json.dumps(state.to_json()), durable=True)


def load_state(folder: Path) -> SlotState | None:
    """Return the state of a slot, or None before its first look; raises WorkspaceError if it is damaged."""
    path = folder / STATE_FILE
    try:
        return SlotState.from_json(parse_json(path.read_bytes(), str(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttestationError) as error:
        raise WorkspaceError(
            f"{path} is no state of the monitor ({shape_fault(error)}); restore it from a backup, or delete it: the "
            "evidence so far is then lost"
        ) from error


def _packed(state: DetectorState) -> dict[str, Any]:
    capital = [float(value) if np.isfinite(value) else None for value in state.log_capital]
    return {"counts": state.counts.tolist(), "log_capital": capital, "granted": state.granted}


def _unpacked(values: Mapping[str, Any]) -> DetectorState:
    capital = np.array([-np.inf if value is None else float(value) for value in values["log_capital"]])
    counts = np.array([int(value) for value in values["counts"]], dtype=np.int64)
    if capital.shape != (2 * len(TILTS),) or counts.ndim != 1 or (counts < 0).any():
        raise ValueError("a detector has other numbers than this release keeps")
    return DetectorState(counts, capital, float(values["granted"]))
