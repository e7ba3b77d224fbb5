from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.special import stdtr

from pipelines.gating.interval import (
    Interval,
    binomial_error,
    combine,
    confidence_interval,
    further_blocks,
    p_value_above,
    student,
)
from pipelines.registry.verdict import Outcome

NORMAL = np.random.default_rng(0).normal(0.1, 0.02, 20_000)
SKEWED = 0.1 + 0.02 * (np.random.default_rng(0).exponential(1.0, 20_000) - 1.0)


def test_many_blocks_give_the_percentile_interval() -> None:
    found = confidence_interval(0.1, NORMAL, 1_000, 0.0, 1_000)
    assert (found.lower, found.upper) == pytest.approx(np.quantile(NORMAL, [0.025, 0.975]), abs=1e-3)


@pytest.mark.parametrize("blocks", [2, 3, 6, 12])
def test_few_blocks_widen_it_as_students_t_does(blocks: int) -> None:
    found = confidence_interval(0.1, NORMAL, blocks, 0.0, 100)
    least = student(0.975, blocks - 1) * NORMAL.std() * math.sqrt(blocks / (blocks - 1))
    assert found.upper - 0.1 >= least - 1e-9
    assert 0.1 - found.lower >= least - 1e-9


def test_skewed_draws_reach_further_to_their_long_side() -> None:
    found = confidence_interval(0.1, SKEWED, 20, 0.0, 100)
    assert found.upper - 0.1 > 1.4 * (0.1 - found.lower)


def test_draws_that_do_not_vary_leave_the_floor() -> None:
    found = confidence_interval(0.0, np.zeros(100), 100, 0.01, 100)
    assert found.upper == pytest.approx(student(0.975, 99) * 0.01)


@pytest.mark.parametrize("draws", [NORMAL, np.array([]), np.full(10, np.nan)])
def test_one_block_or_no_usable_draw_bounds_nothing(draws: np.ndarray) -> None:
    found = confidence_interval(0.1, draws, 1 if len(draws) > 100 else 5, 0.01, 10)
    assert (found.lower, found.upper) == (-math.inf, math.inf)


def test_unusable_draws_are_left_out() -> None:
    holed = np.concatenate([NORMAL, np.full(50, np.nan)])
    assert confidence_interval(0.1, holed, 9, 0.0, 9) == confidence_interval(0.1, NORMAL, 9, 0.0, 9)


@pytest.mark.parametrize(("rate", "tokens", "expected"), [(0.02, 300, 0.00808), (0.0, 4, 0.2165), (1.0, 9, 0.0)])
def test_the_floor_is_binomial_and_never_of_rate_zero(rate: float, tokens: int, expected: float) -> None:
    assert binomial_error(rate, tokens) == pytest.approx(expected, abs=1e-4)


def test_without_tokens_there_is_no_floor() -> None:
    assert binomial_error(0.1, 0) == math.inf
    assert further_blocks(confidence_interval(0.0, np.zeros(9), 3, math.inf, 3), 0.1) is None


@pytest.mark.parametrize("target", [0.05, 0.13])
def test_the_further_blocks_are_enough_and_not_one_too_many(target: float) -> None:
    found = Interval(0.1, 0.0, 0.2, 0.04, 0.0, 10, 10, 0.95)
    more = further_blocks(found, target)
    assert more is not None
    excess = 0.1 / (student(0.975, 9) * 0.04)

    def half(blocks: int) -> float:
        return student(0.975, blocks - 1) * 0.04 * excess * math.sqrt(10 / blocks)

    assert half(10 + more) < abs(target - 0.1) <= half(9 + more)


def needed(found: Interval, target: float) -> int:
    """Search linearly for the number that `further_blocks` finds by bisection."""
    gap, level = abs(target - found.value), 0.5 + found.confidence / 2
    error = found.error if math.isfinite(found.error) else 0.0

    def half(error: float, blocks: int, floor: float, items: int) -> float:
        return max(student(level, blocks - 1) * error, student(level, max(1, items - 1)) * floor)

    excess = 1.0
    if found.blocks > 1:
        seen = found.upper - found.value if target > found.value else found.value - found.lower
        now = half(error, found.blocks, found.floor, found.items)
        excess = max(1.0, seen / now if now and math.isfinite(seen) else 1.0)
    blocks = found.blocks
    while True:
        blocks += 1
        shrink = math.sqrt(found.blocks / blocks) * excess
        items = max(blocks, round(found.items * blocks / found.blocks))
        if half(error * shrink, blocks, found.floor * shrink, items) < gap:
            return blocks - found.blocks


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (Interval(0.1, 0.02, 0.25, 0.04, 0.01, 10, 50, 0.95), 0.16),
        (Interval(0.1, 0.02, 0.25, 0.04, 0.01, 10, 50, 0.95), 0.05),
        (Interval(0.1, 0.0, 0.2, 0.001, 0.05, 4, 40, 0.95), 0.14),
        (Interval(0.1, 0.0, 0.2, 0.001, 0.05, 4, 400, 0.9), 0.08),
        (Interval(0.1, 0.09, 0.11, 0.02, 0.0, 2, 2, 0.95), 0.12),
        (Interval(0.1, 0.07, 0.13, 0.02, 0.01, 3, 3, 0.8), 0.105),
        (Interval(0.0, -math.inf, math.inf, math.nan, 0.3, 1, 1, 0.95), 0.1),
        (Interval(0.0, -math.inf, math.inf, math.nan, 0.3, 1, 5, 0.95), 0.1),
        (Interval(0.0, -math.inf, math.inf, math.nan, 0.05, 2, 6, 0.95), 0.02),
        (Interval(0.0, 0.0, 0.0, 0.0, 0.0, 5, 5, 0.95), 0.02),
        (Interval(0.0, -1.0, 2.0, 1.0, 0.0, 5, 5, 0.95), 1.0),
        (Interval(2.0, -1.0, 4.0, 1.0, 0.0, 5, 5, 0.95), 1.0),
    ],
)
def test_the_number_of_further_blocks_is_the_smallest_that_is_enough(found: Interval, target: float) -> None:
    assert further_blocks(found, target) == needed(found, target)


def test_no_number_is_reported_without_blocks_or_beyond_the_largest_one() -> None:
    assert further_blocks(Interval(0.1, 0.0, 0.2, 0.04, 0.0, 0, 0, 0.95), 0.2) is None
    assert further_blocks(Interval(0.1, 0.0, 0.2, 0.04, 0.0, 10, 10, 0.95), 0.1 + 1e-6) is None
    # the number is about 4,268,000, which a linear search cannot reach in a test
    found = Interval(0.0, -1.0, 1.0, 1.0, 0.0, 10, 10, 0.95)
    more = further_blocks(found, 0.003)
    assert more is not None
    half = [student(0.975, blocks - 1) * math.sqrt(10 / blocks) for blocks in (more + 9, more + 10)]
    assert half[1] < 0.003 <= half[0]


@pytest.mark.parametrize(
    ("lower", "upper", "outcome"),
    [(0.0, 0.2, "passed"), (0.0, 0.21, "undecided"), (0.2, 0.3, "undecided"), (0.21, 0.3, "failed")],
)
def test_a_bound_on_the_limit_is_within_it(lower: float, upper: float, outcome: str) -> None:
    assert Interval(0.1, lower, upper, 0.0, 0.0, 5, 5, 0.95).judge(0.2) == outcome


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "undecided"], "undecided"),
        (["undecided", "failed"], "failed"),
        ([], "passed"),
    ],
)
def test_parts_are_combined_by_their_worst(parts: list[Outcome], outcome: str) -> None:
    assert combine(parts) == outcome


def test_an_interval_is_described_in_per_cent_and_in_points() -> None:
    assert Interval(0.1, -0.05, 0.1234, 0.0, 0.0, 5, 5, 0.95).text == "between 0.00 and 12.34 %"
    assert Interval(0.1, 0.0512, 0.2, 0.0, 0.0, 5, 5, 0.95).text == "between 5.12 and 20.00 %"
    assert Interval(0.1, -0.05, 0.1234, 0.0, 0.0, 5, 5, 0.95).signed_text == "between −5.00 and +12.34"
    for bounds in ((-math.inf, 0.1), (0.0, math.inf)):
        unknown = Interval(0.1, *bounds, 0.0, 0.0, 5, 5, 0.95)
        assert unknown.signed_text == "the spread is unknown"
    assert unknown.text == "the spread is unknown"


def test_the_widest_of_the_four_intervals_is_used() -> None:
    draws, blocks, items = SKEWED, 7, 40
    stretch, t = math.sqrt(7 / 6), student(0.95, 6)
    tail = NormalDist().cdf(-t * stretch)
    for floor, growth in ((0.0, 1.0), (0.05, 1.0), (0.001, 3.0)):
        error = float(draws.std()) * stretch * growth
        centred = draws - draws.mean()
        skewness = math.sqrt(7 * 6) / 5 * float((centred**3).mean()) / float((centred**2).mean()) ** 1.5
        shift = error * skewness / 6 * (1 + 2 * t * t)
        low, high = np.quantile(draws, [tail, 1 - tail])
        half = max(t * error, student(0.95, 39) * floor)
        found = confidence_interval(0.1, draws, blocks, floor, items, 0.9, growth)
        assert found.lower == pytest.approx(min(low, 0.1 - half, 0.1 + shift - t * error), abs=1e-9)
        assert found.upper == pytest.approx(max(high, 0.1 + half, 0.1 + shift + t * error), abs=1e-9)
        assert (found.value, found.floor, found.blocks, found.items, found.confidence) == (0.1, floor, 7, 40, 0.9)
        assert found.error == pytest.approx(error, abs=1e-11)
    assert confidence_interval(0.1, draws, 7, 0.0, 40) == confidence_interval(0.1, draws, 7, 0.0, 40, 0.95, 1.0)


def test_two_blocks_and_two_draws_are_enough_for_an_interval() -> None:
    found = confidence_interval(0.5, np.array([0.4, 0.6]), 2, 0.0, 2)
    assert found.error == pytest.approx(0.1 * math.sqrt(2))
    assert found.upper == pytest.approx(0.5 + student(0.975, 1) * found.error)
    assert not math.isfinite(confidence_interval(0.5, np.array([0.4]), 2, 0.0, 2).upper)
    assert not math.isfinite(confidence_interval(0.5, np.array([0.4, 0.6]), 2, math.inf, 2).upper)
    assert confidence_interval(0.5, np.full(4, 0.5), 2, 0.1, 1).upper == pytest.approx(0.5 + student(0.975, 1) * 0.1)


def test_a_value_on_the_target_is_never_decided() -> None:
    assert further_blocks(confidence_interval(0.1, NORMAL, 10, 0.0, 10), 0.1) is None


def test_p_values_fall_as_the_value_rises_over_the_target() -> None:
    values = [p_value_above(Interval(v, 0, 0, 0.01, 0.0, 20, 20, 0.95), 0.02) for v in (0.0, 0.02, 0.04, 0.06)]
    assert values == sorted(values, reverse=True)
    assert values[1] == pytest.approx(0.5)
    assert values[2] == pytest.approx(1.0 - float(stdtr(19, 2.0)), abs=1e-9)
    assert p_value_above(Interval(0.5, 0, 0, 0.0, 0.0, 20, 20, 0.95), 0.02) == 0.0


def test_p_values_use_the_larger_error_and_say_nothing_without_one() -> None:
    assert p_value_above(Interval(0.04, 0, 0, 0.01, 0.02, 20, 20, 0.95), 0.02) == pytest.approx(
        1.0 - float(stdtr(19, 1.0)), abs=1e-9
    )
    assert p_value_above(Interval(0.02, 0, 0, 0.0, 0.0, 20, 20, 0.95), 0.02) == 1.0
    assert p_value_above(Interval(0.5, 0, 0, 0.01, 0.0, 1, 20, 0.95), 0.02) == 1.0
    assert p_value_above(Interval(0.5, 0, 0, math.nan, 0.0, 20, 20, 0.95), 0.02) == 1.0
    assert p_value_above(Interval(0.04, 0, 0, 0.01, 0.0, 2, 20, 0.95), 0.02) == pytest.approx(
        1.0 - float(stdtr(1, 2.0)), abs=1e-9
    )
