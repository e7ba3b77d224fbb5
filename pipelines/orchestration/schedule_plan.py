"""When each slot starts: the moments of an entry of `schedules:`, and how Prefect is given them.

Prefect gets explicit dates (an RRULE set of RDATEs, in UTC), made by this module: a cron expression knows no
exclusions, and Prefect 3.8 plans a time that does not exist in the night of the change to summer time an hour early.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time

from pipelines.local.cron_times import clock_times, instant
from pipelines.local.schedule_settings import ScheduleEntry
from pipelines.registry.slot import Slot

DATES = 100
"""Most starts of a slot that Prefect is given at once; the supervision adds more when half of them have passed."""
_FEWEST = 12
_AHEAD = timedelta(days=3)
_HORIZON = timedelta(days=9 * 366)
"""Starts that are farther away are planned later; 29 February is eight years away around a year such as 2100."""
_CHANGE = timedelta(hours=1)
"""The most by which a change of the clock moves what is after it."""
_HEAD = "DTSTART:20200101T000000\nRDATE:"
"""With a start of its own the text stays as it is written: Prefect would add this one."""
_RDATES = re.compile(r"(?:DTSTART:\d{8}T\d{6}Z?\s+)?RDATE:((?:\d{8}T\d{6}Z,?)+)\s*")
_FORM = "%Y%m%dT%H%M%SZ"


def spread_of(entry: ScheduleEntry, slot: Slot) -> timedelta:
    """Return how long after the time of its cron expression a slot starts: always the same, evenly over all slots."""
    # by the slot alone, so that another name of the entry moves nothing
    number = int.from_bytes(hashlib.sha256(str(slot).encode()).digest()[:8], "big")
    return timedelta(seconds=number % int(entry.spread) if entry.spread else 0)


def planned_starts(
    entry: ScheduleEntry, slots: Iterable[Slot], after: datetime, most: int = DATES, until: datetime | None = None
) -> dict[Slot, tuple[datetime, ...]]:
    """Return the starts of each slot after a moment, and `until` another: UTC, in order, `most` of them at most."""
    end = until or after + _HORIZON
    open_slots = {slot: spread_of(entry, slot) for slot in slots}
    # sets: all times of the missing hour are also those of the hour after it
    found: dict[Slot, set[datetime]] = {slot: set() for slot in open_slots}
    for base in _moments(entry, after - timedelta(seconds=entry.spread), end):
        if not open_slots or base > end:
            break
        for slot, spread in list(open_slots.items()):
            at = base + spread
            if after < at <= end and not entry.off(at):
                found[slot].add(at)
            # some more: in the night of a change the moments are not in order
            if len(found[slot]) >= most + 4:
                del open_slots[slot]
    return {slot: tuple(sorted(starts)[:most]) for slot, starts in found.items()}


def _moments(entry: ScheduleEntry, after: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the moments that the cron expression names, from a day before `after`, without periods that are all off.

    The moments after `end` need not all be there.
    """
    clock = (after - timedelta(days=1)).astimezone(entry.zone).replace(tzinfo=None)
    spread = timedelta(seconds=entry.spread)
    while True:
        for time in clock_times(entry.cron, clock):
            at = instant(time, entry.zone)
            if (last := entry.off_until(at, at + spread)) is None:
                yield at
                continue
            if last > (end + timedelta(days=2)).date():
                return
            # one a minute in a month of days off would be 43,200 moments of each slot; the spread takes those of the
            # last evening to a day with starts
            evening = datetime.combine(last, clock_time.max) - spread - _CHANGE
            if evening > time:
                clock = evening
                break
        else:
            return


def dates_ahead(starts: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """Return how many of the next starts Prefect is given: those of three days, and at least twelve.

    Prefect reads the dates again in every answer about a deployment, 0.1 ms each.
    """
    soon = sum(start <= now + _AHEAD for start in starts)
    return tuple(starts[: max(soon, _FEWEST)])


def as_rrule(starts: Sequence[datetime]) -> str:
    """Return starts as Prefect is given them."""
    return _HEAD + ",".join(start.strftime(_FORM) for start in starts)


def read_rrule(text: str) -> tuple[datetime, ...] | None:
    """Return the starts that `as_rrule` wrote; None for the rule of a person."""
    match = _RDATES.fullmatch(text)
    if not match:
        return None
    return tuple(datetime.strptime(one, _FORM).replace(tzinfo=UTC) for one in match[1].strip(",").split(","))


def busiest_minute(starts: Mapping[Slot, Sequence[datetime]]) -> int:
    """Return the most starts that any minute has; 0 without one."""
    minutes: dict[int, int] = {}
    for moments in starts.values():
        for at in moments:
            minute = int(at.timestamp()) // 60
            minutes[minute] = minutes.get(minute, 0) + 1
    return max(minutes.values(), default=0)
