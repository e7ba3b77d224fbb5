"""The list at the top of the first page: what a person has to do, what to watch, what is unknown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pipelines.prefect_names import WRONG_RELEASE
from pipelines.registry.slot import Slot
from pipelines.server.read_models.flow_health import FlowHealth
from pipelines.server.read_models.grid import Cell, Grid
from pipelines.server.read_models.serving_hosts import HostState, ReportedHost
from pipelines.server.read_models.site_boxes import ReportedBox
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts, texts

OLD_DAYS = 30
"""After so many days without a new version, a slot is named."""
FREE_SHARE = 0.1
"""A disk with a smaller free share is named."""
_SHOWN = 8
_GIB = 1024**3

Urgency = Literal["act", "watch", "unknown"]


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
    """Page outside the console, or part of this page, that it links to."""


_BOXES: dict[str, Urgency] = {"refused": "act", "silent": "watch", "differs": "watch"}
"""Urgency by the state of a box."""
_HOSTS: dict[HostState, Urgency] = {"lost": "act", "differs": "watch"}
"""Urgency by the state of a server of requests."""


def health_items(
    grid: Grid,
    flows: FlowHealth,
    disks: Sequence[Path],
    now: datetime,
    boxes: Sequence[ReportedBox] = (),
    language: Texts | None = None,
    hosts: Sequence[ReportedHost] = (),
) -> list[HealthItem]:
    """Return all lines, those that need a person first; none if all is well.

    The lines are in English without a language.
    """
    said = language or texts("en")
    found = [*_decisions(said, grid), *_flows(said, flows), *_disks(said, disks), *_old(said, grid, now)]
    found += [*_hosts(said, hosts), *_boxes(said, boxes)]
    order: tuple[Urgency, ...] = ("act", "watch", "unknown")
    return sorted(found, key=lambda item: order.index(item.urgency))


def _decisions(said: Texts, grid: Grid) -> Iterator[HealthItem]:
    if asked := [cell for cell in grid.cells if cell.override and not cell.override.in_force]:
        text = said.say_many(
            "%(number)s override waits for a second person",
            "%(number)s overrides wait for a second person",
            len(asked),
            number=_thousands(len(asked)),
        )
        yield _about(asked, "act", text)
    if passed := [cell for cell in grid.cells if cell.verdict == "passed" and not cell.stale]:
        text = said.say_many(
            "%(number)s challenger passed and waits for a decision",
            "%(number)s challengers passed and wait for a decision",
            len(passed),
            number=_thousands(len(passed)),
        )
        yield _about(passed, "act", text)
    if stale := [cell for cell in grid.cells if cell.verdict == "passed" and cell.stale]:
        text = said.say_many(
            "%(number)s challenger passed against an older champion: gate again",
            "%(number)s challengers passed against an older champion: gate again",
            len(stale),
            number=_thousands(len(stale)),
        )
        yield _about(stale, "watch", text)
    if ungated := [cell for cell in grid.cells if cell.verdict == "not gated"]:
        text = said.say_many(
            "%(number)s version not gated yet",
            "%(number)s versions not gated yet",
            len(ungated),
            number=_thousands(len(ungated)),
        )
        yield _about(ungated, "watch", text)
    if none := [cell for cell in grid.cells if cell.champion is None]:
        text = said.say_many(
            "%(number)s slot without a champion",
            "%(number)s slots without a champion",
            len(none),
            number=_thousands(len(none)),
        )
        yield _about(none, "watch", text)


def _flows(said: Texts, flows: FlowHealth) -> Iterator[HealthItem]:
    if flows.unknown:
        reason = in_english(said, flows.unknown)
        yield HealthItem("unknown", said.say("workers and runs are unknown"), reason, href=flows.address)
    for pool in flows.idle_pools:
        text = said.say("no worker of %(pool)s reports", pool=pool)
        yield HealthItem("act", text, said.say("start it with: elp up"), href=flows.address)
    for run in flows.runs[:_SHOWN]:
        watch = run.state in ("Late", "Refused", "Undecided")
        text, reason = _ending(said, run.state, run.name), in_english(said, run.reason)
        yield HealthItem("watch" if watch else "act", text, reason, href=run.href)
    if (rest := len(flows.runs) - _SHOWN) > 0:
        text = said.say_many(
            "%(number)s more run did not end well",
            "%(number)s more runs did not end well",
            rest,
            number=_thousands(rest),
        )
        yield HealthItem("act", text, href=f"{flows.address}/runs")


def _ending(said: Texts, state: str, name: str) -> str:
    return {
        "Late": said.say("%(name)s waits for a worker", name=name),
        "Failed": said.say("%(name)s failed", name=name),
        "Crashed": said.say("%(name)s crashed", name=name),
        "TimedOut": said.say("%(name)s timed out", name=name),
        WRONG_RELEASE: said.say("%(name)s asks for another release than its worker has", name=name),
        "Refused": said.say("%(name)s was refused by the gate", name=name),
        "Undecided": said.say("%(name)s could not be decided by the gate", name=name),
    }[state]


def _disks(said: Texts, disks: Sequence[Path]) -> Iterator[HealthItem]:
    seen = set()
    for folder in disks:
        if (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(folder)
        if usage.free < FREE_SHARE * usage.total:
            free, total = f"{usage.free / _GIB:.1f}", f"{usage.total / _GIB:.0f}"
            left = said.say("%(free)s of %(total)s GiB are free", free=free, total=total)
            yield HealthItem("act", said.say("the disk of %(folder)s is nearly full", folder=folder), left)


def _hosts(said: Texts, hosts: Sequence[ReportedHost]) -> Iterator[HealthItem]:
    for state, urgency in _HOSTS.items():
        if not (found := [host for host in hosts if host.state == state]):
            continue
        if state == "lost":
            text = said.say_many(
                "%(number)s serving host has not reported for five minutes",
                "%(number)s serving hosts have not reported for five minutes",
                len(found),
                number=len(found),
            )
            names = [host.name for host in found]
        else:
            text = said.say_many(
                "%(number)s serving host answers with another version than the champion",
                "%(number)s serving hosts answer with another version than the champion",
                len(found),
                number=len(found),
            )
            names = [f"{host.name} (→ {_first(said, host.differing)})" for host in found]
        yield HealthItem(urgency, text, _first(said, names), href="#serving")


def _boxes(said: Texts, boxes: Sequence[ReportedBox]) -> Iterator[HealthItem]:
    for state, urgency in _BOXES.items():
        if names := [_named(box) for box in boxes if box.state == state]:
            yield HealthItem(urgency, _box_text(said, state, len(names)), _first(said, names), href="#boxes")


def _first(said: Texts, names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = " " + said.say("and %(number)s more", number=len(names) - _SHOWN) if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _named(box: ReportedBox) -> str:
    """Return a box with what it serves and what it should: ``press-3 (asr v1 → asr v2)``."""
    if box.state != "differs":
        return f"{box.name} ({box.site})"
    return f"{box.name} ({box.site}: {', '.join(box.serves) or '–'} → {', '.join(box.differing)})"


def _box_text(said: Texts, state: str, number: int) -> str:
    """Return the sentence for one or for several boxes."""
    if state == "refused":
        return said.say_many(
            "%(number)s box refused its last pull, and serves the set before",
            "%(number)s boxes refused their last pull, and serve the set before",
            number,
            number=number,
        )
    if state == "silent":
        return said.say_many(
            "%(number)s box has not reported for a week",
            "%(number)s boxes have not reported for a week",
            number,
            number=number,
        )
    return said.say_many(
        "%(number)s box serves another version than the champion",
        "%(number)s boxes serve another version than the champion",
        number,
        number=number,
    )


def _old(said: Texts, grid: Grid, now: datetime) -> Iterator[HealthItem]:
    limit = now - timedelta(days=OLD_DAYS)
    old = [cell for cell in grid.cells if cell.newest and datetime.fromisoformat(cell.newest) < limit]
    if old:
        text = said.say_many(
            "%(number)s slot without a new version for %(days)s days",
            "%(number)s slots without a new version for %(days)s days",
            len(old),
            number=_thousands(len(old)),
            days=OLD_DAYS,
        )
        yield _about(old, "watch", text, said.say("nothing new was delivered, or its schedule does not run"))


def _thousands(number: int) -> str:
    return f"{number:,}"


def _about(cells: Sequence[Cell], urgency: Urgency, text: str, detail: str = "") -> HealthItem:
    slots = tuple(cell.slot for cell in cells)
    return HealthItem(urgency, text, detail, slots[:_SHOWN], max(0, len(slots) - _SHOWN))
