"""What the boxes of a site run, compared with the champions: for the slot's page, the health strip and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from pipelines.registry.slot import Slot
from pipelines.server.ledger import BOXES
from pipelines.server.storage.box_rows import BoxRow, box_rows

SILENT = timedelta(days=7)
"""After so long without a report, nobody knows what a box runs."""

BoxState = Literal["same", "differs", "refused", "silent"]
_URGENT: tuple[BoxState, ...] = ("silent", "refused", "differs", "same")
"""Of several states of a box, the first one counts."""


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


@dataclass(frozen=True)
class ReportedBox:
    """An enrolled box, and what it serves by its newest signed report."""

    name: str
    site: str
    state: BoxState
    """The most urgent one of its slots."""
    serves: tuple[str, ...]
    """Such as ``asr v3``, by task."""
    differing: tuple[str, ...]
    """What it should serve and does not: ``asr v4``, or ``asr –`` for a slot without a champion."""
    reported: str
    """UTC, ISO 8601; empty before the first report."""
    release: str
    """Of elp on the box; empty before the first report."""
    detail: str
    """Why its last pull was refused; empty if it was not."""


def reported_boxes(registry: sa.Connection, champions: Mapping[str, int], now: datetime) -> list[ReportedBox]:
    """Return the enrolled boxes of all sites, the most urgent first; `champions` are the versions by slot."""
    found = [_reported(box, champions, now) for box in box_rows(registry) if box.state == "enrolled"]
    return sorted(found, key=lambda box: _URGENT.index(box.state))


def _reported(box: BoxRow, champions: Mapping[str, int], now: datetime) -> ReportedBox:
    report = box.reported
    running = {str(one["slot"]): int(one["version"]) for one in report.get("running", ())}
    mine = {slot: version for slot, version in champions.items() if slot.partition("/")[0] == box.site}
    states = {_of_slot(box, slot, mine.get(slot), now).state for slot in {*mine, *running}}
    wanted = {slot: mine.get(slot) for slot in sorted({*mine, *running}) if mine.get(slot) != running.get(slot)}
    return ReportedBox(
        name=box.name,
        site=box.site,
        # a site without champions has nothing to serve, and its boxes may fall silent all the same
        state=min(states, key=_URGENT.index, default=_of_slot(box, "", None, now).state),
        serves=tuple(f"{slot.partition('/')[2]} v{version}" for slot, version in sorted(running.items())),
        differing=tuple(
            f"{slot.partition('/')[2]} {f'v{version}' if version else '–'}" for slot, version in wanted.items()
        ),
        reported=box.report_at,
        release=str(report.get("release", "")),
        detail=_refused(report),
    )


@dataclass(frozen=True)
class BoxCount:
    """How many boxes there are, and how they stand."""

    enrolled: int
    reporting: int
    """Reported within the last week."""
    differing: int
    """Serve another version than the champion of a slot, or refused their last pull; of those that report."""


def count_boxes(boxes: Sequence[ReportedBox]) -> BoxCount:
    """Return the counts over all sites."""
    states = [box.state for box in boxes]
    return BoxCount(
        len(states), len(states) - states.count("silent"), states.count("differs") + states.count("refused")
    )


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
