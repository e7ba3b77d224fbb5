from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elp_core.metrics.eer import eer, false_rates
from elp_core.metrics.scores import TrialScores
from pipelines.gating.decide import decide_verdict
from pipelines.gating.operating_point import measure_rates
from pipelines.registry.policies import GatePolicy, SafetyPolicy
from pipelines.registry.verdict import GateCheck, Verdict
from tests.support.measured import MEASURED
from tests.support.scores import clips, trials

POLICY = GatePolicy(limit=0.4, margin=0.05, resamples=500)
GOOD = trials(24, 7, 0.6)
AT = eer(GOOD.scores, GOOD.targets).threshold


def judged(
    threshold: float | None = AT, champion: TrialScores | None = GOOD, at: float | None = AT, **safety: Any
) -> Verdict:
    measured = replace(MEASURED, challenger_threshold=threshold, champion_threshold=at)
    return decide_verdict(GOOD, champion, replace(POLICY, safety=SafetyPolicy(**safety)), measured=measured)


def rates(verdict: Verdict) -> tuple[GateCheck, GateCheck]:
    accepts, rejects = (c for c in verdict.checks if c.name.startswith("false"))
    return accepts, rejects


def test_the_rates_are_those_at_the_stored_thresholds() -> None:
    low = AT - 0.1
    accepts, rejects = measure_rates(GOOD, low, GOOD, AT, POLICY, False)
    assert (accepts.challenger.value, rejects.challenger.value) == false_rates(GOOD.scores, GOOD.targets, low)
    assert (accepts.champion, rejects.champion) == false_rates(GOOD.scores, GOOD.targets, AT)
    assert accepts.delta.value > 0 > rejects.delta.value
    assert accepts.delta.lower < accepts.delta.value < accepts.delta.upper


def test_a_lax_threshold_fails_though_the_equal_error_rate_is_the_champions() -> None:
    verdict = judged(AT - 0.3, max_false_accepts=0.1)
    assert (verdict.delta, verdict.outcome) == (0.0, "failed")
    assert [found.outcome for found in rates(verdict)] == ["failed", "passed"]
    assert "check false accepts failed: " in verdict.reasons[0]
    assert "above the limit of 10.00 %" in verdict.reasons[0]
    assert judged(AT, max_false_accepts=0.1, max_false_rejects=0.2).passed


def test_a_strict_threshold_refuses_too_many_speakers() -> None:
    verdict = judged(AT + 0.25, max_false_rejects=0.1)
    assert [found.outcome for found in rates(verdict)] == ["passed", "failed"]


def test_the_margin_is_between_each_system_at_its_own_threshold() -> None:
    assert judged(AT, at=AT, operating_margin=0.05).passed
    verdict = judged(AT - 0.3, at=AT, operating_margin=0.05)
    assert verdict.outcome == "failed"
    assert "allowed +5.00 points" in verdict.reasons[0]
    assert judged(AT - 0.3, at=AT - 0.3, operating_margin=0.05).passed, "the champion serves like that already"


def test_a_limit_inside_the_interval_holds_back_and_asks_for_speakers() -> None:
    value = false_rates(GOOD.scores, GOOD.targets, AT)[0]
    verdict = judged(max_false_accepts=value + 0.002)
    assert (verdict.outcome, verdict.needed) == ("undecided", None)
    assert "more speakers would decide" in verdict.reasons[0]


def test_without_limits_the_rates_are_told_and_hold_nothing_up() -> None:
    verdict = judged(AT - 0.3, operating_margin=None)
    assert verdict.passed
    assert all("no limit is set" in found.detail for found in rates(verdict))


def test_a_bundle_without_a_threshold_fails_where_a_limit_asks_for_one() -> None:
    assert judged(None, None, None).passed, "a first version, and nothing is asked"
    verdict = judged(None, None, None, max_false_rejects=0.5)
    assert [found.outcome for found in rates(verdict)] == ["passed", "failed"]
    assert "the bundle has no threshold" in verdict.reasons[0]


def test_a_threshold_that_the_champion_has_must_not_be_lost() -> None:
    assert [found.outcome for found in rates(judged(None))] == ["failed", "failed"]
    assert judged(None, operating_margin=None).passed


def test_a_better_equal_error_rate_may_still_let_more_impostors_in() -> None:
    before = trials(24, 7, 0.9)
    measured = replace(MEASURED, challenger_threshold=AT - 0.4, champion_threshold=AT)
    verdict = decide_verdict(GOOD, before, POLICY, measured=measured)
    assert verdict.delta < 0
    assert [found.outcome for found in rates(verdict)] == ["failed", "passed"]


@pytest.mark.parametrize(("champion", "at"), [(None, None), (GOOD, None)], ids=["first", "old champion"])
def test_without_a_champions_threshold_the_margin_has_nothing_to_stand_on(
    champion: TrialScores | None, at: float | None
) -> None:
    verdict = judged(AT, champion, at, operating_margin=0.02)
    assert verdict.passed
    assert "no champion with a threshold" in rates(verdict)[0].detail


def test_other_tasks_have_no_such_checks() -> None:
    verdict = decide_verdict(clips([0] * 200, 8), None, POLICY, measured=MEASURED)
    assert not [found for found in verdict.checks if found.name.startswith("false")]


@pytest.mark.parametrize("closed", [False, True])
def test_rates_at_the_limit_itself_seldom_pass(closed: bool) -> None:
    """The threshold lies where the true share of false accepts is the limit: at most 5 % of golden sets may pass it."""
    world = trials(400, 6, 0.8, seed=99)
    threshold = float(np.quantile(world.scores[~world.targets], 0.95))
    policy = replace(POLICY, resamples=300, safety=SafetyPolicy(max_false_accepts=0.05))
    passed = 0
    for seed in range(60):
        drawn = trials(10, 6, 0.8, seed=seed)
        accepts, _ = measure_rates(drawn, threshold, None, None, policy, closed)
        passed += accepts.challenger.upper <= 0.05
    assert passed <= 6
