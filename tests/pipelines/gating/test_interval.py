from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.gating.interval import (
    Interval,
    binomial_error,
    confidence_interval,
    further_blocks,
    p_value_above,
    student,
)

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


def test_a_value_on_the_target_is_never_decided() -> None:
    assert further_blocks(confidence_interval(0.1, NORMAL, 10, 0.0, 10), 0.1) is None


def test_p_values_fall_as_the_value_rises_over_the_target() -> None:
    values = [p_value_above(Interval(v, 0, 0, 0.01, 0.0, 20, 20, 0.95), 0.02) for v in (0.0, 0.02, 0.04, 0.06)]
    assert values == sorted(values, reverse=True)
    assert values[1] == pytest.approx(0.5)
    assert p_value_above(Interval(0.5, 0, 0, 0.0, 0.0, 20, 20, 0.95), 0.02) == 0.0
