"""What the boxes of a site run, compared with the champions: for the slot's page and the health strip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from pipelines.registry.slot import Slot
from pipelines.server.ledger import BOXES
from pipelines.server.storage.box_rows import BoxRow

SILENT = timedelta(days=7)
"""After so long without a report, nobody knows what a box runs."""

BoxState = Literal["same", "differs", "refused", "silent"]


@dataclass(frozen=True)
class BoxOfSlot:
    """A box of a slot's site, and what it serves for this slot."""

    name: str
    version: int | None
    """None if it serves nothing for this slot, or has not reported yet."""
    state: BoxState
    reported: str
    """UTC, ISO 8601; empty before the first report."""
    detail: str
    """Why its last pull was refused; empty if it was not."""


def boxes_of_slot(registry: sa.Connection, slot: Slot, champion: int | None, now: datetime) -> list[BoxOfSlot]:
    """Return the enrolled boxes of the slot's site by name; `champion` is the version that they should serve."""
    rows = registry.execute(sa.select(BOXES).where(BOXES.c.site == slot.site).order_by(BOXES.c.name)).mappings()
    boxes = [box for box in (BoxRow(**row) for row in rows) if box.state == "enrolled"]
    return [_of_slot(box, str(slot), champion, now) for box in boxes]


def other_boxes(registry: sa.Connection, champions: Mapping[str, int], now: datetime) -> dict[str, list[str]]:
    """Return, by state, the boxes that do not serve exactly the champions (version by slot) of their site."""
    found: dict[str, list[str]] = {}
    for row in registry.execute(sa.select(BOXES).order_by(BOXES.c.name)).mappings():
        box = BoxRow(**row)
        if box.state != "enrolled":
            continue
        mine = {slot: version for slot, version in champions.items() if slot.partition("/")[0] == box.site}
        slots = {*mine, *(str(one["slot"]) for one in box.reported.get("running", ()))}
        states = {_of_slot(box, slot, mine.get(slot), now).state for slot in slots}
        state = next((one for one in ("silent", "refused", "differs") if one in states), "")
        if state:
            found.setdefault(state, []).append(box.name)
    return found


@dataclass(frozen=True)
class BoxCount:
    """How many boxes there are, and how they stand."""

    enrolled: int
    reporting: int
    """Reported within the last week."""
    differing: int
    """Serve another version than the champion of a slot, or refused their last pull; of those that report."""


def count_boxes(registry: sa.Connection, champions: Mapping[str, int], now: datetime) -> BoxCount:
    """Return the counts over all sites; `champions` are the versions by slot."""
    rows = registry.execute(sa.select(BOXES)).mappings()
    enrolled = sum(BoxRow(**row).state == "enrolled" for row in rows)
    found = other_boxes(registry, champions, now)
    silent = len(found.get("silent", ()))
    return BoxCount(enrolled, enrolled - silent, len(found.get("differs", ())) + len(found.get("refused", ())))


def _of_slot(box: BoxRow, slot: str, champion: int | None, now: datetime) -> BoxOfSlot:
    report = box.reported
    serves = next((int(one["version"]) for one in report.get("running", ()) if one["slot"] == slot), None)
    refused = _refused(report)
    state: BoxState = "same" if serves == champion else "differs"
    if refused:
        state = "refused"
    if not box.report_at or now - datetime.fromisoformat(box.report_at) > SILENT:
        state = "silent"
    return BoxOfSlot(box.name, serves, state, box.report_at, refused)


def _refused(report: Mapping[str, Any]) -> str:
    if report.get("pulled", "") in ("", "activated", "unchanged"):
        return ""
    return str(report.get("detail") or report["pulled"])
