from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.monitoring.change_detector import (
    DAY_SHARE,
    DAYS,
    FIRST_SHARE,
    DetectorState,
    ScoreReference,
    begin_day,
    exact_p_value,
    observe,
    start_detector,
)


def _law(counts: np.ndarray) -> np.ndarray:
    return (1 + counts) / (counts.size + counts.sum())


def _fed(size: int, ranks: list[int]) -> DetectorState:
    state = start_detector(size)
    for rank in ranks:
        state = observe(begin_day(state), rank)
    return state


def test_the_law_of_the_ranks_is_that_of_exchangeable_values() -> None:
    # all orders of 2 reference values and 3 blocks are equally likely: count them
    seen: dict[tuple[int, ...], int] = {}
    for order in itertools.permutations(range(5)):
        reference = sorted(order[:2])
        ranks = tuple(sum(value < block for value in reference) for block in order[2:])
        seen[ranks] = seen.get(ranks, 0) + 1
    for ranks, times in seen.items():
        counts, chance = np.zeros(3, dtype=np.int64), 1.0
        for rank in ranks:
            chance *= _law(counts)[rank]
            counts[rank] += 1
        assert chance == pytest.approx(times / math.factorial(5))


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 40), data=st.data())
def test_one_more_block_does_not_change_the_mean_of_the_evidence(size: int, data: st.DataObject) -> None:
    ranks = data.draw(st.lists(st.integers(0, size), max_size=12))
    state = _fed(size, ranks)
    after = [float(observe(state, rank).evidence) for rank in range(size + 1)]
    assert float(_law(state.counts) @ after) == pytest.approx(float(state.evidence))


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 20), ranks=st.lists(st.integers(0, 20), max_size=10))
def test_every_bet_keeps_a_part_of_the_capital(size: int, ranks: list[int]) -> None:
    state = _fed(size, [min(rank, size) for rank in ranks])
    assert np.isfinite(state.log_capital).all()
    assert state.counts.sum() == len(ranks)


def test_the_capital_of_a_first_year_is_one_and_of_a_later_one_less() -> None:
    first, later = start_detector(5), start_detector(5, first=False)
    for _ in range(DAYS):
        first, later = begin_day(first), begin_day(later)
    assert [float(first.evidence), first.granted] == pytest.approx([1.0, 1.0])
    assert [float(later.evidence), later.granted] == pytest.approx([1 - FIRST_SHARE] * 2)
    assert begin_day(first).granted == pytest.approx(1.0 + DAY_SHARE)


def test_detectors_side_by_side_are_the_same_as_each_alone() -> None:
    ranks = np.array([[0, 3, 7], [7, 7, 2]])
    both = start_detector(7, (2,))
    for column in ranks.T:
        both = observe(begin_day(both), column)
    for row, one in zip(ranks, range(2), strict=True):
        alone = _fed(7, row.tolist())
        assert both.counts[one].tolist() == alone.counts.tolist()
        assert both.log_capital[one] == pytest.approx(alone.log_capital)


@pytest.mark.parametrize("rank", [0, 30])
def test_scores_beyond_the_whole_reference_alarm_after_a_few_blocks(rank: int) -> None:
    assert float(_fed(30, [rank] * 8).evidence) > 120 > float(_fed(30, [rank] * 3).evidence)


def test_the_p_values_are_uniform_and_independent_for_a_small_reference() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        reference, state = np.sort(rng.standard_normal(8)), start_detector(8)
        for value in rng.standard_normal(6):
            rank = int((reference < value).sum())
            found.append(exact_p_value(state, rank, float(rng.random())))
            state = observe(state, rank)
    grid = np.reshape(found, (400, 6))
    assert np.abs(np.quantile(grid, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.03
    assert np.abs(np.corrcoef(grid.T) - np.eye(6)).max() < 0.2


def test_the_p_values_feed_the_martingales_of_other_libraries() -> None:
    from online_cp.martingale import SimpleJumper

    jumper, state = SimpleJumper(), start_detector(30)
    for _ in range(20):
        jumper.update(exact_p_value(state, 30, 0.5))
        state = observe(begin_day(state), 30)
    # it finds the change too; its bets are at most times 1.5, so with less evidence
    assert 1 < float(jumper.M) < float(state.evidence)


def test_ranks_count_lower_values_and_keys_break_ties() -> None:
    reference = ScoreReference.of("snr_db", ["a", "b", "c", "d"], [3.0, 1.0, 2.0, 2.0])
    assert [reference.rank(value, "x") for value in (0.5, 1.5, 2.5, 9.0)] == [0, 1, 3, 4]
    tied = {reference.rank(2.0, f"block {number}") for number in range(60)}
    assert tied == {1, 2, 3}
    assert reference.rank(2.0, "block 1") == reference.rank(2.0, "block 1")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_a_rank_is_between_the_numbers_of_lower_and_of_not_higher_values(values: list[float], value: float) -> None:
    reference = ScoreReference.of("x", [str(place) for place in range(len(values))], values)
    below, up_to = sum(one < value for one in values), sum(one <= value for one in values)
    assert below <= reference.rank(value, "new") <= up_to
