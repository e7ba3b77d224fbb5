"""The planned power against the gate itself, on golden sets that are drawn at the planned size."""

from __future__ import annotations

import numpy as np
import pytest

from elp_core.metrics.scores import ClipScores
from pipelines.gating.compare import compare_scores
from pipelines.registry.policies import GatePolicy
from pipelines.reporting.sample_size import GoldenDesign, least_blocks

DESIGN = GoldenDesign(rate=0.15, limit=0.2, spread=0.5, clips=20, tokens=8.0)
DRAWS = 60


def _passes(design: GoldenDesign, speakers: int) -> float:
    """Share of drawn golden sets on which the gate shows the rate to be within the limit."""
    generator, policy, passed = np.random.default_rng(7), GatePolicy(limit=design.limit, resamples=300), 0
    clips, words = speakers * design.clips, int(design.tokens)
    for _ in range(DRAWS):
        # speakers differ by `spread`, and clips of a speaker so that errors of one clip occur together
        shape = 1 / design.spread**2
        rates = design.rate * generator.gamma(shape, 1 / shape, speakers).clip(0, 1 / design.rate - 1e-6)
        own = np.repeat(rates.clip(1e-6), design.clips)
        precision = words / (1.5 - 1) - 1
        chance = generator.beta(own * precision, (1 - own) * precision)
        errors, blank = generator.binomial(words, chance), ("",) * clips
        names = tuple(f"s{i // design.clips}" for i in range(clips))
        scores = ClipScores(blank, names, blank, errors, np.full(clips, words), blank, blank)
        passed += compare_scores(scores, None, policy, closed_set=False).challenger.judge(design.limit) == "passed"
    return passed / DRAWS


def test_the_planned_golden_set_has_about_the_planned_power_in_the_gate() -> None:
    speakers = least_blocks(DESIGN, 0.8)
    assert speakers is not None
    assert DESIGN.power(speakers - 1) < 0.8 <= DESIGN.power(speakers)
    # 60 draws know a share of 80 % to about ± 10 points
    assert 0.65 <= _passes(DESIGN, speakers) <= 0.95
    assert _passes(DESIGN, speakers // 4) < 0.5


@pytest.mark.parametrize("limit", [0.15, 0.1501])
def test_a_rate_at_the_limit_is_shown_by_no_golden_set(limit: float) -> None:
    from dataclasses import replace

    assert least_blocks(replace(DESIGN, limit=limit), 0.8) is None
