"""The moments of a schedule, as Prefect's own planner fires them: daylight saving, days off, spread."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.actions import DeploymentScheduleCreate
from prefect.server.schemas.schedules import RRuleSchedule

from pipelines.local.schedule_settings import ScheduleEntry, read_entries
from pipelines.orchestration.schedule_plan import (
    DATES,
    as_rrule,
    busiest_minute,
    dates_ahead,
    planned_starts,
    read_rrule,
    spread_of,
)
from pipelines.registry.slot import Slot

SLOT = Slot("plant-1", "asr")


def _entry(cron: str = "30 2 * * *", **given: object) -> ScheduleEntry:
    off = given.pop("off", None)
    calendars = {"off": off} if off else {}
    written = {"slots": "*/*", "cron": cron, **given, **({"calendar": "off"} if off else {})}
    (entry,) = read_entries({"nightly": written}, calendars)
    return entry


def _fired(starts: Iterable[datetime], midnight: datetime) -> list[datetime]:
    """Return the moments of all runs that Prefect plans for a schedule, 30 hours before and after a midnight.

    In the six hours after midnight it is asked every five minutes, as by its server, and otherwise every hour.
    """
    stored = DeploymentScheduleCreate(schedule=RRuleSchedule(rrule=as_rrule(tuple(starts)), timezone="UTC")).schedule
    assert read_rrule(stored.rrule) == tuple(starts), "Prefect keeps the text as it is written"
    runs: set[datetime] = set()
    at, end = midnight - timedelta(hours=30), midnight + timedelta(hours=30)
    rule = stored.to_rrule()
    with pytest.MonkeyPatch.context() as patch:
        # reading the same text again at each look took nine tenths of the time
        patch.setattr(RRuleSchedule, "to_rrule", lambda _: rule)
        while at < end:
            dates = stored._get_dates_generator(n=3, start=at, end=at + timedelta(days=100))
            runs |= {run for run in dates if run < end}
            at += timedelta(minutes=5 if midnight <= at < midnight + timedelta(hours=6) else 60)
    return sorted(runs)


@pytest.mark.parametrize(
    ("zone", "day", "cron", "clock"),
    [
        # the clock goes from 2:00 to 3:00: a start at 2:30 is moved by the missing hour
        ("Europe/Berlin", "2026-03-29", "30 2 * * *", "03:30+0200"),
        ("America/New_York", "2026-03-08", "30 2 * * *", "03:30-0400"),
        # 2:30 (in New York 1:30) is there twice: the first one
        ("Europe/Berlin", "2026-10-25", "30 2 * * *", "02:30+0200"),
        ("America/New_York", "2026-11-01", "30 1 * * *", "01:30-0400"),
        # and the nights around the change are as always
        ("Europe/Berlin", "2026-03-30", "30 2 * * *", "02:30+0200"),
        ("Europe/Berlin", "2026-10-24", "30 2 * * *", "02:30+0200"),
        ("America/New_York", "2026-11-02", "30 1 * * *", "01:30-0500"),
    ],
)
def test_a_night_of_the_clock_change_has_one_start(zone: str, day: str, cron: str, clock: str) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    begin = midnight - timedelta(hours=30)
    runs = _fired(planned_starts(_entry(cron, timezone=zone), [SLOT], begin)[SLOT], midnight)
    local = [run.astimezone(ZoneInfo(zone)) for run in runs]
    assert [at.strftime("%H:%M%z") for at in local if at.date().isoformat() == day] == [clock]


def test_the_starts_do_not_depend_on_the_moment_of_planning() -> None:
    entry = _entry("*/30 * * * *", timezone="Europe/Berlin", spread="20m")
    begin = datetime(2026, 10, 24, 20, tzinfo=UTC)
    every = planned_starts(entry, [SLOT], begin)[SLOT]
    assert len(every) == DATES
    for minutes in range(0, 12 * 60, 7):
        now = begin + timedelta(minutes=minutes)
        later = planned_starts(entry, [SLOT], now)[SLOT]
        ahead = tuple(start for start in every if start > now)
        assert ahead == later[: len(ahead)]


def test_prefect_is_given_the_dates_of_three_days_and_at_least_twelve() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    for cron, number in (("0 2 * * *", 12), ("0 * * * *", 72), ("*/5 * * * *", DATES), ("0 0 29 2 *", 2)):
        assert len(dates_ahead(planned_starts(_entry(cron), [SLOT], now)[SLOT], now)) == number


def test_an_hourly_start_pauses_for_the_hour_that_is_there_twice() -> None:
    begin = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
    starts = planned_starts(_entry("0 * * * *", timezone="Europe/Berlin"), [SLOT], begin, most=4)[SLOT]
    assert [b - a for a, b in pairwise(starts)] == [timedelta(hours=1), timedelta(hours=2), timedelta(hours=1)]
    spring = planned_starts(
        _entry("0 * * * *", timezone="Europe/Berlin"), [SLOT], datetime(2026, 3, 28, 23, 30, tzinfo=UTC), most=4
    )[SLOT]
    assert [b - a for a, b in pairwise(spring)] == [timedelta(hours=1)] * 3


def test_no_start_is_there_twice_in_the_night_of_the_change_to_summer_time() -> None:
    begin = datetime(2026, 3, 28, 22, tzinfo=UTC)
    starts = planned_starts(_entry("*/5 * * * *", timezone="Europe/Berlin"), [SLOT], begin)[SLOT]
    assert len(set(starts)) == len(starts) == DATES
    assert {b - a for a, b in pairwise(starts)} == {timedelta(minutes=5)}


def test_no_start_is_on_a_day_off_even_after_the_spread() -> None:
    entry = _entry("30 23 * * *", timezone="Asia/Tokyo", spread="2h", off=["2026-12-29..2027-01-03"])
    slots = [Slot(f"plant-{number}", "asr") for number in range(50)]
    starts = planned_starts(entry, slots, datetime(2026, 12, 27, tzinfo=UTC), most=10)
    days = {at.astimezone(ZoneInfo("Asia/Tokyo")).date().isoformat() for moments in starts.values() for at in moments}
    assert {"2026-12-28", "2027-01-04"} <= days
    assert not [day for day in days if "2026-12-29" <= day <= "2027-01-03"]


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [("Asia/Tokyo", 3, 8), ("Europe/Berlin", 26, 29), ("Europe/Berlin", 26, 28), ("America/New_York", 3, 8)],
)
@pytest.mark.parametrize(("cron", "spread"), [("30 23 * * *", "2h"), ("*/20 * * * *", "23h"), ("5 20 * * *", 0)])
def test_a_period_off_is_the_same_as_its_days(zone: str, first: int, last: int, cron: str, spread: object) -> None:
    slots = [Slot("plant-a", "asr"), *(Slot(f"plant-{number}", "asr") for number in range(20))]
    begin, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
    days = [f"2026-03-{day:02}" for day in range(first, last + 1)]
    at_once, one_by_one = (
        planned_starts(_entry(cron, timezone=zone, spread=spread, off=off), slots, begin, most=10_000, until=end)
        for off in ([f"{days[0]}..{days[-1]}"], days)
    )
    assert at_once == one_by_one


@pytest.mark.parametrize(("after", "year"), [("2028-03-01", 2032), ("2096-03-01", 2104)])
def test_the_next_leap_day_is_planned(after: str, year: int) -> None:
    starts = planned_starts(_entry("0 2 29 2 *"), [SLOT], datetime.fromisoformat(after).replace(tzinfo=UTC))[SLOT]
    assert starts[0] == datetime(year, 2, 29, 2, tzinfo=UTC)


def test_a_long_time_off_costs_no_time_and_may_leave_no_start() -> None:
    slots = [Slot(f"plant-{number}", "asr") for number in range(200)]
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    entry = _entry("* * * * *", spread="1h", off=["2026-05-30..2026-12-31"])
    starts = planned_starts(entry, slots, begin, most=3)
    assert {start.date().isoformat() for found in starts.values() for start in found} == {"2027-01-01"}
    never = _entry("* * * * *", off=["2026-05-30..9999-12-31"])
    assert planned_starts(never, [SLOT], begin) == {SLOT: ()}


def test_the_spread_is_of_the_slot_and_even() -> None:
    entry = _entry("0 2 * * *", spread="90m")
    slots = [Slot(f"plant-{number}", task) for number in range(200) for task in ("asr", "asv", "ser")]
    assert spread_of(entry, slots[0]) == spread_of(_entry("5 7 * * *", spread="90m"), slots[0])
    starts = planned_starts(entry, slots, datetime(2026, 6, 1, tzinfo=UTC), most=1)
    tenths = [0] * 10
    for (at,) in starts.values():
        tenths[int((at - datetime(2026, 6, 1, 2, tzinfo=UTC)).total_seconds() // 540)] += 1
    assert min(tenths) > 35
    assert max(tenths) < 85
    assert busiest_minute(starts) <= 20
    assert busiest_minute(planned_starts(_entry("0 2 * * *"), slots, datetime(2026, 6, 1, tzinfo=UTC), most=1)) == 600


def test_rare_starts_end_at_the_horizon() -> None:
    starts = planned_starts(_entry("0 0 29 2 *"), [SLOT], datetime(2026, 3, 1, tzinfo=UTC))[SLOT]
    assert [start.year for start in starts] == [2028, 2032]


def test_the_rule_of_a_person_is_not_ours() -> None:
    assert read_rrule("FREQ=DAILY;BYHOUR=3") is None
    assert read_rrule("DTSTART:20200101T000000\nRRULE:FREQ=DAILY\nRDATE:20260101T000000Z") is None
    start = datetime(2026, 1, 1, 2, 30, 15, tzinfo=UTC)
    assert read_rrule(as_rrule([start])) == (start,)
