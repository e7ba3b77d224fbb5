from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from elp_core.errors import ConfigError
from pipelines.local.schedule_settings import entry_of, read_entries
from pipelines.local.settings import read_settings
from pipelines.registry.slot import Slot

TEXT = """
schedules:
  nightly:
    slots: ["plant-*/asr", "hall-3/asv"]
    cron: "0 2 * * *"
    timezone: Asia/Tokyo
    spread: 90m
    calendar: shutdown
  noon:
    slots: plant-7/asr
    cron: "0 12 * * MON-FRI"
    catch_up: skip
calendars:
  shutdown: [2026-12-29..2027-01-03, 2027-05-03]
"""


def test_entries_are_read_with_their_defaults() -> None:
    nightly, noon = read_settings(TEXT).schedule_entries()
    assert (nightly.name, nightly.slots, nightly.cron) == ("nightly", ("plant-*/asr", "hall-3/asv"), "0 2 * * *")
    assert (nightly.timezone, nightly.spread, nightly.catch_up) == ("Asia/Tokyo", 5400, "newest")
    assert nightly.days_off == (
        (date(2026, 12, 29), date(2027, 1, 3)), (date(2027, 5, 3), date(2027, 5, 3)),
    )  # fmt: skip
    assert (noon.timezone, noon.spread, noon.catch_up, noon.days_off) == ("UTC", 0, "skip", ())
    assert read_settings("").schedule_entries() == ()


def test_a_day_off_is_one_of_the_time_zone() -> None:
    nightly, _ = read_settings(TEXT).schedule_entries()
    assert nightly.off(datetime(2026, 12, 28, 15, tzinfo=UTC)), "the 29th has begun in Tokyo"
    assert not nightly.off(datetime(2026, 12, 28, 14, 59, tzinfo=UTC))
    assert not nightly.off(datetime(2027, 1, 3, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("slot", "name"),
    [
        ("plant-1/asr", "nightly"),
        ("plant-7/asr", "noon"),
        ("hall-3/asv", "nightly"),
        ("hall-3/asr", ""),
        ("plant/asr", ""),
    ],
)
def test_the_most_exact_pattern_decides(slot: str, name: str) -> None:
    entry = entry_of(read_settings(TEXT).schedule_entries(), Slot.parse(slot))
    assert (entry.name if entry else "") == name


def _one(**given: object) -> dict[str, dict[str, object]]:
    return {"a": {"slots": "x/asr", "cron": "0 2 * * *", **given}}


@pytest.mark.parametrize(
    ("schedules", "calendars", "fault"),
    [
        (_one(timezone="Mars/Base"), {}, "schedules.a.timezone: unknown time zone 'Mars/Base'"),
        (_one(cron="0 0 30 2 *"), {}, "schedules.a.cron: .* a date that does not exist"),
        (_one(cron="* * * * * *"), {}, "schedules.a.cron: .* has 6 fields"),
        (_one(cron=5), {}, "schedules.a: cron is 5"),
        (_one(slots=[]), {}, r"schedules.a.slots is \[\], expected at least one slot or pattern"),
        (_one(slots=[3]), {}, r"schedules.a.slots is \[3\], expected at least one"),
        (_one(slots="plant"), {}, "schedules.a.slots: 'plant' is no slot and no pattern"),
        (_one(slots="plant-*/tts"), {}, "schedules.a.slots: 'plant-.*/tts' matches no task; expected one of asr"),
        (_one(slots="-plant/asr"), {}, "schedules.a.slots: '-plant/asr' is not a slot"),
        (_one(slots="[ab]/asr"), {}, r"schedules.a.slots: '\[ab\]/asr' is no slot and no pattern"),
        (_one(spread="25h"), {}, "schedules.a.spread is '25h', expected a time of at most 24 hours"),
        (_one(spread=True), {}, "schedules.a.spread is True, expected a time"),
        (_one(spread=90), {}, "schedules.a.spread is 90, expected a time"),
        (_one(catch_up="all"), {}, "schedules.a: catch_up is 'all', expected one of newest, skip"),
        (_one(jitter=3), {}, "schedules.a: unknown key jitter"),
        ({"a": None}, {}, "schedules.a is None, expected a mapping"),
        ({"a": {"slots": "x/asr"}}, {}, "schedules.a: missing key cron"),
        ({"A b": _one()["a"]}, {}, "schedules.A b: the name is not lower-case"),
        (_one(calendar="off"), {}, r"schedules.a.calendar: there is no calendar 'off' .* \(there is: none at all\)"),
        (_one(calendar=3), {"off": ["2027-05-03"]}, "schedules.a.calendar is 3, expected the name"),
        ({}, {"off": []}, r"calendars.off is \[\], expected a list of days"),
        ({}, {"off": ["2027-02-30"]}, "calendars.off: '2027-02-30' is no day"),
        ({}, {"off": ["2027-1-3"]}, "calendars.off: '2027-1-3' is no day"),
        ({}, {"off": ["2027-05-03.."]}, r"calendars.off: '2027-05-03..' is no day"),
        ({}, {"off": ["2027-05-03..2027-05-01"]}, "calendars.off: .* ends before it begins"),
        ({}, {"off": 2027}, "calendars.off is 2027, expected a list of days"),
        (
            {
                **_one(slots="plant-*/asr"),
                "b": {"slots": ["*-hall/asr", "p?ant-*/asr", "plant-*/asr"], "cron": "0 3 * * *"},
            },
            {},
            r"schedules.a \(plant-\*/asr\) and schedules.b \(plant-\*/asr\) can match the same slot",
        ),
        (
            {**_one(slots="north-*/asr"), "b": {"slots": "*-plant/asr", "cron": "0 3 * * *"}},
            {},
            "and neither is more exact",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_with_its_place(schedules, calendars, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        read_entries(schedules, calendars)
    assert len(caught.value.faults) == 1
    assert "\n" not in caught.value.faults[0]


def test_every_fault_is_named_at_once_when_the_settings_are_read() -> None:
    with pytest.raises(ConfigError, match="5 faults") as caught:
        read_settings("schedules: {a: {slots: x, cron: never, timezone: here}, b: 3}\ncalendars: {c: [4]}\n")
    assert [fault.split(":")[0].split(" ")[0] for fault in caught.value.faults] == [
        "calendars.c", "schedules.a.slots", "schedules.a.cron", "schedules.a.timezone", "schedules.b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "tie"),
    [
        ("*/asr", "*/asv", False),
        ("a-*/asr", "b-*/asr", False),
        ("plant-?/asr", "plant-*/asr", True),
        ("plant-1/asr", "plant-*/asr", False),
        ("plant-1/asr", "plant-1*/asr", False),
        ("plant-*/a*", "plant-*/*r", True),
        ("*a*b*c*d*e*f*g*h*i*/asr", "*i*h*g*f*e*d*c*b*a*/asr", True),
    ],
)
def test_only_patterns_that_can_meet_and_are_equally_exact_are_refused(one: str, other: str, tie: bool) -> None:
    both = {name: {"slots": text, "cron": "0 1 * * *"} for name, text in (("a", one), ("b", other))}
    if tie:
        with pytest.raises(ConfigError, match="neither is more exact"):
            read_entries(both, {})
    else:
        assert len(read_entries(both, {})) == 2
