"""`schedules:` and `calendars:` of `elp.yaml`: which slots are retrained, or monitored, when.

An entry names slots by patterns (``plant-*/asr``). If two entries match a slot, the pattern with more fixed characters
decides; two that could match the same slot and are equally exact are refused when the settings are read. Entries of
different flows do not compete.
"""

from __future__ import annotations

import functools
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, cast

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.task_specs import names as task_names
from elp_core.types import Seconds
from pipelines.errors import UsageError
from pipelines.local.cron_times import cron_fault, zone_fault
from pipelines.registry.slot import Slot

CatchUp = Literal["newest", "skip"]
ScheduledFlow = Literal["retrain", "monitor"]
SCHEDULED_FLOWS: tuple[ScheduledFlow, ...] = ("retrain", "monitor")
MOST_SPREAD: Seconds = 24 * 3600
_PATTERN = re.compile(r"([a-z0-9*?-]+)/([a-z*?]+)")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_DURATION = re.compile(r"(\d{1,6}) ?(s|m|h)")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class ScheduleEntry:
    """One entry of `schedules:`."""

    name: str
    slots: tuple[str, ...]
    """Patterns, SITE/TASK each; ``*`` stands for any characters, ``?`` for one."""
    cron: str
    timezone: str
    spread: Seconds
    """Starts are spread over so many whole seconds after the time of `cron`, by a hash of the slot."""
    catch_up: CatchUp
    """After an outage: start the newest of the late runs, or none."""
    days_off: tuple[tuple[date, date], ...]
    """First and last day of each period without starts, in `timezone`."""
    flow: ScheduledFlow = "retrain"

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone."""
        return zoneinfo.ZoneInfo(self.timezone)

    def off(self, at: datetime) -> bool:
        """Return whether no run may start at a moment, because its day is one of the calendar's."""
        return self.off_until(at, at) is not None

    def off_until(self, begin: datetime, end: datetime) -> date | None:
        """Return the last day of a period without starts in which both moments are; None if there is none."""
        if not self.days_off:
            return None
        days = begin.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        return next((last for first, last in self.days_off if first <= days[0] and days[1] <= last), None)

    def fit(self, slot: Slot) -> tuple[int, bool] | None:
        """Return how exactly the entry names a slot, to be compared; None if it does not."""
        return max((_fit(pattern) for pattern in self.slots if _matches(pattern, str(slot))), default=None)


@dataclass(frozen=True)
class _Written:
    """An entry as it is written."""

    slots: Any
    cron: str
    timezone: str = "UTC"
    spread: Any = 0
    catch_up: CatchUp = "newest"
    calendar: Any = ()
    flow: ScheduledFlow = "retrain"


def read_entries(schedules: Mapping[str, Any], calendars: Mapping[str, Any]) -> tuple[ScheduleEntry, ...]:
    """Return the entries by name; a ConfigError has all faults, each with its place."""
    faults: list[str] = []
    days = {str(name): _read_calendar(str(name), value, faults) for name, value in calendars.items()}
    read = (_read_entry(str(name), value, days, faults) for name, value in schedules.items())
    entries = tuple(entry for entry in read if entry)
    faults += _ties(entries)
    if faults:
        raise ConfigError("schedules", faults)
    return tuple(sorted(entries, key=lambda entry: entry.name))


def entry_of(entries: Sequence[ScheduleEntry], slot: Slot, flow: str = "retrain") -> ScheduleEntry | None:
    """Return the entry that schedules a flow of a slot: the one that names the slot most exactly."""
    found = [(fit, entry) for entry in entries if entry.flow == flow and (fit := entry.fit(slot))]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _read_entry(
    name: str, value: Any, calendars: Mapping[str, tuple[tuple[date, date], ...]], faults: list[str]
) -> ScheduleEntry | None:
    before, place = len(faults), f"schedules.{name}"
    if not _NAME.fullmatch(name):
        faults.append(f"{place}: the name is not lower-case letters, digits, - and _, 64 at most")
    if not isinstance(value, Mapping):
        faults.append(f"{place} is {value!r}, expected a mapping with slots and cron")
        return None
    try:
        written = from_dict(_Written, value, place)
    except ConfigError as error:
        faults += [f"{place}: {fault}" for fault in error.faults]
        return None
    patterns = _texts(written.slots)
    if not patterns:
        faults.append(f"{place}.slots is {written.slots!r}, expected at least one slot or pattern, such as plant-*/asr")
    faults += [f"{place}.slots: {fault}" for pattern in patterns or () if (fault := _pattern_fault(pattern))]
    faults += [f"{place}.cron: {fault}" for fault in [cron_fault(written.cron)] if fault]
    faults += [f"{place}.timezone: {fault}" for fault in [zone_fault(written.timezone)] if fault]
    spread = _seconds(written.spread)
    if spread is None:
        faults.append(f"{place}.spread is {written.spread!r}, expected a time of at most 24 hours, such as 90m or 2h")
    wanted = _texts(written.calendar)
    if wanted is None:
        hint = "; YAML reads off, on, yes and no without quotes as such" if isinstance(written.calendar, bool) else ""
        expected = f"expected the name of a calendar, or a list of names{hint}"
        faults.append(f"{place}.calendar is {written.calendar!r}, {expected}")
    for unknown in [one for one in wanted or () if one not in calendars]:
        known = ", ".join(sorted(calendars)) or "none at all"
        faults.append(f"{place}.calendar: there is no calendar {unknown!r} under calendars (there is: {known})")
    if len(faults) > before:
        return None
    off = tuple(sorted({period for one in wanted or () for period in calendars[one]}))
    return ScheduleEntry(
        name, tuple(patterns or ()), written.cron, written.timezone, spread or 0, written.catch_up, off, written.flow
    )


def _read_calendar(name: str, value: Any, faults: list[str]) -> tuple[tuple[date, date], ...]:
    place = f"calendars.{name}"
    if not _NAME.fullmatch(name):
        faults.append(f"{place}: the name is not lower-case letters, digits, - and _, 64 at most")
    if not isinstance(value, (list, tuple)) or not value:
        faults.append(f"{place} is {value!r}, expected a list of days, such as [2026-12-29..2027-01-03, 2027-05-03]")
        return ()
    found = []
    for given in value:
        first, dots, last = str(given).partition("..")
        days = [_day(text) for text in ([first, last] if dots else [first])]
        if None in days:
            faults.append(f"{place}: {str(given)!r} is no day; expected YYYY-MM-DD, or two with .. between them")
            continue
        period = cast(tuple[date, date], (days[0], days[-1]))
        if period[0] > period[1]:
            faults.append(f"{place}: {given} ends before it begins; write the earlier day first")
        found.append(period)
    return tuple(found)


def _day(text: str) -> date | None:
    try:
        # only the form with hyphens: date.fromisoformat reads weeks and 20261229, too
        return date.fromisoformat(text.strip()) if _DAY.fullmatch(text.strip()) else None
    except ValueError:
        return None


def _seconds(value: Any) -> int | None:
    """Return a time such as 90m in seconds; None if it is none, or longer than a day."""
    if value in (0, "0", None) and not isinstance(value, bool):
        return 0
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = int(match[1]) * _UNITS[match[2]] if match else -1
    return seconds if 0 <= seconds <= MOST_SPREAD else None


def _texts(value: Any) -> list[str] | None:
    """Return one text or a list of texts as a list; None for anything else."""
    values = [value] if isinstance(value, str) else value
    fine = isinstance(values, (list, tuple)) and all(isinstance(one, str) for one in values)
    return list(values) if fine else None


def _pattern_fault(pattern: str) -> str:
    match = _PATTERN.fullmatch(pattern)
    if not match:
        return f"{pattern!r} is no slot and no pattern of slots; expected SITE/TASK, such as plant-a/asr or plant-*/*"
    if not any(_matches(match[2], task) for task in task_names()):
        return f"{pattern!r} matches no task; expected one of {', '.join(task_names())}, or *"
    if not any(char in pattern for char in "*?"):
        try:
            Slot.parse(pattern)
        except UsageError as error:
            return str(error)
    return ""


def _matches(pattern: str, text: str) -> bool:
    return bool(_expression(pattern).fullmatch(text))


@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    # cached: hundreds of slots are compared with hundreds of names, and `re` keeps 512 expressions only
    # a wildcard stays on its side of the slash: neither a site nor a task has one
    parts = (re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join({r"\*": "[^/]*", r"\?": "[^/]"}.get(part, part) for part in parts))


def _fit(pattern: str) -> tuple[int, bool]:
    fixed = sum(char not in "*?" for char in pattern)
    return fixed, fixed == len(pattern)


def _ties(entries: Sequence[ScheduleEntry]) -> list[str]:
    """Return a fault for each two entries that could match one slot and are equally exact."""
    faults = []
    for index, one in enumerate(entries):
        for other in (later for later in entries[index + 1 :] if later.flow == one.flow):
            pairs = ((mine, theirs) for mine in one.slots for theirs in other.slots)
            tie = next((p for p in pairs if _fit(p[0]) == _fit(p[1]) and _overlap(*p)), None)
            if tie:
                faults.append(
                    f"schedules.{one.name} ({tie[0]}) and schedules.{other.name} ({tie[1]}) can match the same slot, "
                    "and neither is more exact; name the slot exactly in one of them"
                )
    return faults


@functools.cache
def _overlap(one: str, other: str) -> bool:
    """Return whether a text exists that both patterns match."""
    if not one or not other:
        return not (one or other).strip("*")
    if one[0] == "*":
        # the star ends here, or takes one more character (never the slash) of the other
        return _overlap(one[1:], other) or (other[0] != "/" and _overlap(one, other[1:]))
    if other[0] == "*":
        return _overlap(other, one)
    same = one[0] == other[0] or ("?" in (one[0], other[0]) and "/" not in (one[0], other[0]))
    return same and _overlap(one[1:], other[1:])
