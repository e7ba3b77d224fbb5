"""The short form of benchmarks/gate_simulation.py: how often the gate is wrong."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from elp_core.metrics.bootstrap import blocks_of, resample_errors
from pipelines.gating.compare import compare_scores
from pipelines.registry.policies import GatePolicy
from tests.support.benchmark_modules import benchmark_module

PAIRS = 200
# of 200 pairs at a true rate of 5 %, more than 17 would pass in fewer than 2 % of all runs
MOST_FALSE_PASSES = 17 / PAIRS


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    return benchmark_module("gate_simulation")


@pytest.mark.parametrize(
    ("speakers", "clips", "words", "rate", "fixed", "closed"),
    [(6, 30, 5, 0.1, 0.3, False), (20, 10, 6, 0.0, 0.0, False), (6, 40, 1, 0.0, 0.0, True)],
    ids=["six speakers", "rare errors", "closed set"],
)
def test_false_passes_at_the_margin_stay_under_five_percent(
    simulation: ModuleType, speakers: int, clips: int, words: int, rate: float, fixed: float, closed: bool
) -> None:
    world = simulation.WerWorld("", speakers, clips, words, rate, fixed, 1.0, closed_set=closed)
    assert simulation.outcomes(world, 1.0, PAIRS, resamples=500)["passed"] <= MOST_FALSE_PASSES


def test_the_plain_percentile_interval_would_break_that_promise(simulation: ModuleType) -> None:
    world = simulation.WerWorld("", 6, 25, 1, 0.0, 0.0, 1.0, closed_set=True)
    rng, policy = np.random.default_rng(0), GatePolicy(limit=1.0, resamples=500)
    plain = honest = 0
    for _ in range(100):
        pair = world.draw(policy.margin, rng)
        draws = resample_errors(pair, blocks_of(pair[0].speakers, "clips"), 500, 0)
        plain += np.quantile(draws[0] - draws[1], 0.975) <= policy.margin
        honest += compare_scores(*pair, policy, True).delta.upper <= policy.margin
    assert plain > 12
    assert honest <= 5


def test_power_grows_with_the_golden_set(simulation: ModuleType) -> None:
    shares = [
        simulation.outcomes(simulation.WerWorld("", speakers, 20, 6, 0.1, 0.3, 0.5), 0.0, 60, resamples=500)["passed"]
        for speakers in (3, 8, 25)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.9


def test_worse_adapters_are_refused(simulation: ModuleType) -> None:
    world = simulation.WerWorld("", 12, 20, 6, 0.1, 0.3, 0.5)
    found = simulation.outcomes(world, 6.0, 40, resamples=500)
    assert found["failed"] > 0.9
    assert found["passed"] == 0.0


def test_speaker_verification_keeps_the_promise_too(simulation: ModuleType) -> None:
    world = simulation.EerWorld("", 8, 8, 0.9)
    assert simulation.outcomes(world, 1.0, 40, resamples=300)["passed"] <= 0.1
