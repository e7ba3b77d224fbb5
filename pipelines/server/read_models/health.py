"""The list at the top of the first page: what a person has to do, what to watch, what is unknown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pipelines.number_text import count
from pipelines.registry.slot import Slot
from pipelines.server.read_models.flow_health import FlowHealth
from pipelines.server.read_models.grid import Cell, Grid

OLD_DAYS = 30
"""After so many days without a new version, a slot is named."""
FREE_SHARE = 0.1
"""A disk with a smaller free share is named."""
_SHOWN = 8
_GIB = 1024**3

Urgency = Literal["act", "watch", "unknown"]
_WORDS = {
    "Late": "waits for a worker",
    "Failed": "failed",
    "Crashed": "crashed",
    "TimedOut": "timed out",
    "Refused": "was refused by the gate",
    "Undecided": "could not be decided by the gate",
}


@dataclass(frozen=True)
class HealthItem:
    """One line of the strip."""

    urgency: Urgency
    text: str
    detail: str = ""
    slots: tuple[Slot, ...] = ()
    """Slots that it is about, at most `_SHOWN`."""
    more: int = 0
    """How many slots more."""
    href: str = ""
    """Page outside the console that it links to."""


_BOXES: dict[str, tuple[Urgency, str]] = {
    "refused": ("act", "refused its last pull, and serves the set before"),
    "silent": ("watch", "has not reported for a week"),
    "differs": ("watch", "serves another version than the champion"),
}


def health_items(
    grid: Grid,
    flows: FlowHealth,
    disks: Sequence[Path],
    now: datetime,
    boxes: Mapping[str, Sequence[str]] | None = None,
) -> list[HealthItem]:
    """Return all lines, those that need a person first; none if all is well. `boxes` are names by `_BOXES`."""
    found = [*_decisions(grid), *_flows(flows), *_disks(disks), *_old(grid, now), *_boxes(boxes or {})]
    order: tuple[Urgency, ...] = ("act", "watch", "unknown")
    return sorted(found, key=lambda item: order.index(item.urgency))


def _decisions(grid: Grid) -> Iterator[HealthItem]:
    asked = [cell for cell in grid.cells if cell.override and not cell.override.in_force]
    if asked:
        yield _about(asked, "act", f"{count(len(asked), 'override')} {_wait(asked)} for a second person")
    passed = [cell for cell in grid.cells if cell.verdict == "passed" and not cell.stale]
    if passed:
        yield _about(passed, "act", f"{count(len(passed), 'challenger')} passed and {_wait(passed)} for a decision")
    stale = [cell for cell in grid.cells if cell.verdict == "passed" and cell.stale]
    if stale:
        yield _about(stale, "watch", f"{count(len(stale), 'challenger')} passed against an older champion: gate again")
    ungated = [cell for cell in grid.cells if cell.verdict == "not gated"]
    if ungated:
        yield _about(ungated, "watch", f"{count(len(ungated), 'version')} not gated yet")
    none = [cell for cell in grid.cells if cell.champion is None]
    if none:
        yield _about(none, "watch", f"{count(len(none), 'slot')} without a champion")


def _flows(flows: FlowHealth) -> Iterator[HealthItem]:
    if flows.unknown:
        yield HealthItem("unknown", "workers and runs are unknown", flows.unknown, href=flows.address)
    for pool in flows.idle_pools:
        yield HealthItem("act", f"no worker of {pool} reports", "start it with: elp up", href=flows.address)
    for run in flows.runs[:_SHOWN]:
        watch = run.state in ("Late", "Refused", "Undecided")
        yield HealthItem("watch" if watch else "act", f"{run.name} {_WORDS[run.state]}", run.reason, href=run.href)
    if len(flows.runs) > _SHOWN:
        rest = count(len(flows.runs) - _SHOWN, "more run")
        yield HealthItem("act", f"{rest} did not end well", href=f"{flows.address}/runs")


def _disks(disks: Sequence[Path]) -> Iterator[HealthItem]:
    seen = set()
    for folder in disks:
        if (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(folder)
        if usage.free < FREE_SHARE * usage.total:
            left = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.0f} GiB are free"
            yield HealthItem("act", f"the disk of {folder} is nearly full", left)


def _boxes(boxes: Mapping[str, Sequence[str]]) -> Iterator[HealthItem]:
    for state, names in boxes.items():
        urgency, text = _BOXES[state]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield HealthItem(urgency, _many(text, names), ", ".join(names[:_SHOWN]) + more)


def _many(text: str, names: Sequence[str]) -> str:
    """Return the sentence for one or for several boxes."""
    if len(names) == 1:
        return f"1 box {text}"
    return f"{len(names)} boxes " + text.replace("refused its", "refused their").replace("serves", "serve").replace(
        "has not", "have not"
    )


def _old(grid: Grid, now: datetime) -> Iterator[HealthItem]:
    limit = now - timedelta(days=OLD_DAYS)
    old = [cell for cell in grid.cells if cell.newest and datetime.fromisoformat(cell.newest) < limit]
    if old:
        text = f"{count(len(old), 'slot')} without a new version for {OLD_DAYS} days"
        yield _about(old, "watch", text, "nothing new was delivered, or its schedule does not run")


def _about(cells: Sequence[Cell], urgency: Urgency, text: str, detail: str = "") -> HealthItem:
    slots = tuple(cell.slot for cell in cells)
    return HealthItem(urgency, text, detail, slots[:_SHOWN], max(0, len(slots) - _SHOWN))


def _wait(cells: Sequence[Cell]) -> str:
    return "waits" if len(cells) == 1 else "wait"
