from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipelines.guard.read.drift import drift
from pipelines.guard.read.records import Judged
from pipelines.settings import Slot
from tests.support.registry_rows import verdict

BUNDLE, OTHER = "sha256:" + "b" * 64, "sha256:" + "c" * 64
SINCE = "2026-01-02"


def judged(at: str, version: int = 4, bundle: str = BUNDLE, golden: str = "g1", **values: object) -> Judged:
    told = verdict(Slot("plant-a", "asr"), version, bundle, "passed", None, datetime(2026, 1, 1, tzinfo=UTC))
    return Judged("d", "k", at, replace(told, golden=replace(told.golden, tag=golden, digest=golden), **values))


def challenger(at: str, champion: float, against: tuple[int, str] = (4, BUNDLE), golden: str = "g1") -> Judged:
    """A verdict on version 7, in which the champion of that day was measured too."""
    told = verdict(Slot("plant-a", "asr"), 7, OTHER, "failed", against, datetime(2026, 1, 1, tzinfo=UTC))
    golden_set = replace(told.golden, tag=golden, digest=golden)
    return Judged("e", "k", at, replace(told, champion=champion, golden=golden_set))


FIRST = judged("2026-01-01", challenger=0.08)


def test_a_later_challengers_gate_measured_the_champion_again() -> None:
    found = drift([FIRST], [challenger("2026-03-01", 0.11), challenger("2026-02-01", 0.3)], SINCE)
    assert found
    assert (round(found.change, 6), found.source, found.golden, found.moved, found.at) == (
        0.03, "v7", "g1", False, "2026-03-01",
    )  # fmt: skip


def test_a_newer_verdict_on_the_champion_itself_goes_before() -> None:
    again = judged("2026-04-01", challenger=0.07)
    found = drift([FIRST, again], [challenger("2026-03-01", 0.11)], SINCE)
    assert found
    assert (round(found.change, 6), found.source) == (-0.01, "v4")


def test_a_golden_set_with_other_clips_is_told() -> None:
    found = drift([FIRST], [challenger("2026-03-01", 0.11, golden="g2")], SINCE)
    assert found
    assert (found.golden, found.moved) == ("g2", True)


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ([], [challenger("2026-03-01", 0.11)]),
        ([FIRST], []),
        ([FIRST, judged("2026-01-02", challenger=0.09)], []),  # judged again before it was promoted
        ([FIRST], [challenger("2026-03-01", 0.11, (3, BUNDLE))]),
        ([FIRST], [challenger("2026-03-01", 0.11, (4, OTHER))]),
        ([FIRST], [challenger("2025-12-01", 0.11)]),
        ([FIRST], [Judged("e", "k", "2026-03-01", replace(challenger("", 0.1).statement, champion=None))]),
        ([FIRST], [Judged("e", "k", "2026-03-01", replace(challenger("", 0.1).statement, metric="eer"))]),
    ],
)
def test_what_did_not_measure_this_champion_again_is_no_drift(own: list[Judged], others: list[Judged]) -> None:
    assert drift(own, others, SINCE) is None
