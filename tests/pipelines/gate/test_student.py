from __future__ import annotations

import pytest
from scipy import stats

from pipelines.gate.student import NORMAL_FROM, cdf, quantile


@pytest.mark.parametrize("df", [1, 2, 3, 5, 8, 31, 300, NORMAL_FROM - 1])
@pytest.mark.parametrize("t", [-30.0, -1.5, 0.0, 0.3, 4.0])
def test_probabilities_are_scipys(df: int, t: float) -> None:
    assert cdf(t, df) == pytest.approx(stats.t.cdf(t, df), abs=1e-9)


@pytest.mark.parametrize("df", [1, 2, 5, 30, 1000])
@pytest.mark.parametrize("probability", [0.001, 0.3, 0.5, 0.975])
def test_quantiles_are_scipys(df: int, probability: float) -> None:
    assert quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-7, abs=1e-7)


def test_many_degrees_of_freedom_are_normal() -> None:
    assert quantile(0.975, NORMAL_FROM) == pytest.approx(stats.t.ppf(0.975, NORMAL_FROM), abs=2e-3)
