"""The short form of benchmarks/monitor_simulation.py: how often the monitor is wrong, and what it finds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.support.benchmark_modules import benchmark_module


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    return benchmark_module("monitor_simulation")


@pytest.mark.parametrize("reference", [10, 40])
def test_at_most_five_percent_of_slots_alarm_in_a_year_without_change(simulation: ModuleType, reference: int) -> None:
    found = simulation.null_year(reference, 200, sessions=2)
    assert found.alarmed <= simulation.PROMISE
    assert found.fleet_days <= simulation.PROMISE


def test_clips_that_are_counted_as_independent_would_break_that_promise(simulation: ModuleType) -> None:
    assert simulation.null_year(30, 20, sessions=1, days=60, per_clip=10).alarmed > 0.3


@pytest.mark.slow
@pytest.mark.integration
def test_more_noise_and_another_microphone_are_found_on_real_speech(simulation: ModuleType, fsdd: Path) -> None:
    # fewer takes leave too few clips for the usual features: with 16, 90 % of the changes of noise are found
    speech = simulation.measure_speech(fsdd)
    for kind in ("10 dB more noise", "other microphone"):
        share, took = simulation.shares_found(speech, kind, 30, 6, 100)
        assert share >= 0.95
        assert max(took) <= simulation.FOUND_CLIPS
