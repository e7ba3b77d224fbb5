from __future__ import annotations

from datetime import timedelta

from pipelines.monitoring.block_scores import ScoredClip
from pipelines.monitoring.served_audio import clips_of_requests
from pipelines.monitoring.uncounted_blocks import uncounted_blocks
from tests.support.served_requests import NOON, served


def _day(name: str, day: int, *clips: str) -> list[ScoredClip]:
    return [ScoredClip(clip, name, {}, day=f"2026-11-{day:02}") for clip in clips]


def test_a_day_of_a_name_counts_once_although_the_log_lost_its_first_requests() -> None:
    monday = _day("anna", 2, "a", "b", "c")
    first = uncounted_blocks(monday, (), 2)
    assert {clip.block for clip in first.clips} == {"anna 2026-11-02"}
    counted = first.signs["anna 2026-11-02"]
    again = uncounted_blocks([*monday[2:], *_day("anna", 2, "0", "1"), *_day("anna", 3, "x", "y")], counted, 2)
    assert ([clip.id for clip in again.clips], again.known) == (["x", "y"], 1)
    assert uncounted_blocks(_day("béla", 2, "d", "e"), counted, 2).known == 0


def test_days_with_too_few_clips_are_one_block_together() -> None:
    log = [*_day("anna", 4, "e"), *_day("anna", 1, "a", "b"), *_day("anna", 3, "d", "a"), *_day("anna", 2, "c")]
    found = uncounted_blocks(log, (), 3)
    assert {block: len(kept) for block, kept in found.signs.items()} == {"anna 2026-11-01": 2, "anna 2026-11-03": 2}
    counted = [sign for kept in found.signs.values() for sign in kept]
    later = uncounted_blocks([*log, *_day("anna", 4, "f", "g", "h"), *_day("anna", 5, "i")], counted, 3)
    assert ([clip.id for clip in later.clips], later.known) == (["i"], 4)


def test_a_block_of_a_log_that_an_earlier_release_counted_does_not_count_again() -> None:
    clip = "a" * 64
    found = uncounted_blocks([*_day("anna", 1, clip, "b" * 64), *_day("anna", 2, "c" * 64)], (clip[:16],), 1)
    assert ([one.block for one in found.clips], found.known) == (["anna 2026-11-02"], 1)


def test_a_session_is_one_block_over_midnight_and_another_one_if_its_name_is_used_again() -> None:
    hours = {"call": (0, 11, 13), "line": (0, 30), "": (0, 13)}
    requests = [
        served(number, at=NOON + timedelta(hours=hour), session=session, speaker="anna")
        for number, (session, hour) in enumerate((name, hour) for name, all_ in hours.items() for hour in all_)
    ]
    found = clips_of_requests(requests[::-1])
    assert sorted((clip.block, clip.day[-2:]) for clip in found) == [
        ("anna", "29"), ("anna", "30"), ("call", "29"), ("call", "29"), ("call", "29"), ("line", "29"), ("line", "30")
    ]  # fmt: skip
