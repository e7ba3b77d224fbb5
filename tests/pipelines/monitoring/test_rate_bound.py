from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.monitoring.rate_bound import bound_mean


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_more_values_never_leave_the_interval_of_fewer(values: list[float]) -> None:
    found = bound_mean(values)
    assert 0 <= found.low <= found.high <= 1
    assert found.sessions == len(values)
    for count in range(1, len(values)):
        before = bound_mean(values[:count])
        if found.steady:
            assert before.low <= found.low + 1e-9
            assert found.high <= before.high + 1e-9


@pytest.mark.parametrize(("rate", "size"), [(0.05, 1), (0.3, 10), (0.9, 3)])
def test_the_true_mean_is_missed_in_less_than_five_percent_of_all_streams_at_any_look(rate: float, size: int) -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        found = bound_mean((rng.binomial(size, rate, 150) / size).tolist())
        # the intervals are nested, so the last one is inside of all: it misses if any did
        missed += not found.low <= rate <= found.high
    assert missed <= 0.05 * 200


def test_values_without_one_mean_are_told_from_others() -> None:
    found = bound_mean([0.0] * 200 + [1.0] * 200)
    assert (found.steady, found.low, found.high) == (False, 0.0, 1.0)
    assert bound_mean([0.0, 1.0] * 200).steady


def test_the_interval_narrows() -> None:
    rng = np.random.default_rng(1)
    values = rng.beta(2, 18, 800).tolist()
    widths = [bound_mean(values[:count]).high - bound_mean(values[:count]).low for count in (10, 100, 800)]
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.06


@pytest.mark.parametrize("values", [[], [1.1], [-0.1, 0.5], [float("nan")]])
def test_values_outside_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected one value or more in"):
        bound_mean(values)
