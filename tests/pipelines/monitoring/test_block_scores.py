from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.monitoring.block_scores import ScoredClip, score_blocks


def _clip(name: str, block: str, snr: float) -> ScoredClip:
    return ScoredClip(name, block, {"snr_db": snr})


def test_every_block_counts_the_same_number_of_clips() -> None:
    clips = [_clip(f"{place}", "monday", 10.0 * place) for place in range(5)] + [_clip("9", "short", 1.0)]
    found = score_blocks(clips, 2, ["snr_db"])
    assert [(one.block, one.clips, one.scores) for one in found.scored] == [("monday", ("0", "1"), {"snr_db": 5.0})]
    assert found.short == {"short": 1}


@given(st.permutations(list(range(6))))
def test_the_order_of_arrival_does_not_change_a_score(order: list[int]) -> None:
    clips = [_clip(f"{place}", "b", math.sqrt(place)) for place in order]
    assert (
        score_blocks(clips, 4, ["snr_db"]).scored
        == score_blocks(sorted(clips, key=lambda c: c.id), 4, ["snr_db"]).scored
    )


def test_a_clip_that_was_sent_twice_counts_once() -> None:
    clips = [_clip("a", "b", 1.0), _clip("a", "b", 1.0), _clip("c", "b", 3.0)]
    assert score_blocks(clips, 2, ["snr_db"]).scored[0].scores == {"snr_db": 2.0}
    assert score_blocks(clips, 3, ["snr_db"]).short == {"b": 2}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_measurement_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match=r"clip a has snr_db (nan|inf), expected a finite number"):
        score_blocks([_clip("a", "b", value)], 1, ["snr_db"])


def test_a_missing_measurement_and_an_empty_block_are_refused() -> None:
    with pytest.raises(UsageError, match="clip a has level None"):
        score_blocks([_clip("a", "b", 1.0)], 1, ["level"])
    with pytest.raises(UsageError, match="1 clip or more, got 0"):
        score_blocks([], 0, ["snr_db"])
