from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elp_core.errors import ConfigError
from pipelines.gating.decide import decide_verdict
from pipelines.registry.policies import GatePolicy, SafetyPolicy
from pipelines.registry.verdict import GateCheck, Measured, Speed, Verdict
from tests.support.measured import MEASURED, interference, slot_outputs
from tests.support.scores import clips

POLICY = GatePolicy(limit=0.5, margin=0.02, resamples=1_000)
BEFORE = np.random.default_rng(0).binomial(5, 0.1, 400)
"""The champion's errors: 10 % of 2,000 words."""


def judged(after: Any = BEFORE, measured: Measured = MEASURED, champion: bool = True, **safety: Any) -> Verdict:
    policy = replace(POLICY, safety=SafetyPolicy(**safety))
    return decide_verdict(clips(after, 20), clips(BEFORE, 20) if champion else None, policy, measured=measured)


def check(verdict: Verdict, name: str) -> GateCheck:
    return next(found for found in verdict.checks if found.name == name)


def test_every_check_is_in_the_verdict_with_or_without_a_limit() -> None:
    verdict = judged(max_improvement=None, max_megabytes=None, max_slowdown=None)
    names = [found.name for found in verdict.checks]
    budgets = ["bundle size", "parameters", "slowdown", "real-time factor"]
    assert names == ["plausible improvement", "interference", "backbone unchanged", *budgets]
    assert verdict.passed
    assert {found.derived for found in verdict.checks} == {True}


@pytest.mark.parametrize(
    ("name", "limits", "sentence"),
    [
        ("bundle size", {"max_megabytes": 4.0}, "4.20 MB, at most 4.00 MB"),
        ("parameters", {"max_parameters": 1_000_000}, "1,050,000, at most 1,000,000"),
        ("slowdown", {"max_slowdown": 1.4}, "1.50 times the backbone alone (on 10.0 s of audio, cpu), at most 1.40"),
        ("real-time factor", {"max_real_time_factor": 0.05}, "0.0750 (on 10.0 s of audio, cpu), at most 0.0500"),
    ],
)
def test_an_adapter_over_its_budget_fails(name: str, limits: dict[str, Any], sentence: str) -> None:
    verdict = judged(**limits)
    assert verdict.outcome == "failed"
    assert verdict.reasons[0].startswith(f"check {name} failed: {sentence}")
    assert judged(**{key: 2 * value for key, value in limits.items()}).passed


def test_memorised_golden_clips_ring_the_alarm_and_are_held_back() -> None:
    verdict = judged(np.zeros(400, int))
    found = check(verdict, "plausible improvement")
    assert (verdict.outcome, verdict.needed, found.outcome) == ("undecided", None, "undecided")
    assert verdict.reasons[0].startswith("check plausible improvement is undecided: 100.00 % of the champion's")
    assert "elp audit plant-a/asr 2" in found.detail
    assert not any("too small" in reason for reason in verdict.reasons)


def test_a_person_lifts_the_alarm_in_the_policy() -> None:
    assert judged(np.zeros(400, int), max_improvement=1.0).passed
    assert judged(np.zeros(400, int), max_improvement=None).passed


def test_half_of_the_golden_clips_memorised_is_seen_where_less_is_plausible() -> None:
    leaked = np.where(np.arange(400) % 4 > 0, 0, BEFORE)
    assert judged(leaked).passed
    assert judged(leaked, max_improvement=0.5).outcome == "undecided"
    assert judged(np.maximum(BEFORE - 1, 0) * (np.arange(400) % 3 > 0), max_improvement=0.9).passed


def test_a_first_version_may_be_too_good_as_well() -> None:
    assert judged(np.zeros(400, int), champion=False).passed, "nothing is declared of the least value"
    held = judged(np.zeros(400, int), champion=False, least_metric=0.01)
    assert (held.outcome, held.first_version) == ("undecided", True)
    assert judged(BEFORE, champion=False, least_metric=0.01).passed


def test_too_few_clips_ring_no_alarm() -> None:
    few = decide_verdict(clips([0] * 10), clips([1] * 10), POLICY, measured=MEASURED)
    assert check(few, "plausible improvement").passed


def test_a_failure_counts_more_than_an_alarm() -> None:
    assert judged(np.zeros(400, int), max_megabytes=1.0).outcome == "failed"


def test_a_changed_answer_of_another_slot_fails_the_gate() -> None:
    for changed in ({"after": "x"}, {"with_challenger": "x"}):
        found = interference(slot_outputs(), slot_outputs("plant-c/asv", **changed))
        verdict = judged(measured=replace(MEASURED, interference=found))
        assert verdict.outcome == "failed"
        assert "2 of 5 other slots compared; the challenger changes the answers of plant-c/asv v3" in verdict.reasons[0]


def test_on_a_host_with_non_deterministic_kernels_interference_is_undecided() -> None:
    found = interference(slot_outputs(after="x"), repeatable=False)
    verdict = judged(measured=replace(MEASURED, interference=found))
    assert verdict.outcome == "undecided"
    assert "gate the version on another machine" in verdict.reasons[0]


def test_slots_that_were_not_compared_are_reported() -> None:
    none = check(judged(measured=replace(MEASURED, interference=interference(slots=0))), "interference")
    assert (none.passed, none.detail) == (True, "0 of 0 other slots compared")
    some = replace(interference(slot_outputs()), skipped=("plant-d/ser: no golden set",))
    detail = check(judged(measured=replace(MEASURED, interference=some)), "interference").detail
    assert detail == (
        "1 of 5 other slots compared, not compared: plant-d/ser: no golden set, "
        "bit for bit the same with the challenger loaded: plant-b/asr v3"
    )
    off = check(judged(interference_slots=0), "interference")
    assert (off.passed, off.detail) == (True, "switched off by the policy: gate.safety.interference_slots is 0")


def test_a_changed_backbone_fails_the_gate() -> None:
    verdict = judged(measured=replace(MEASURED, backbone_after="sha256:other"))
    assert verdict.reasons[0].startswith(
        "check backbone unchanged failed: tensors in memory sha256:b before, sha256:other"
    )


def test_the_worst_condition_has_a_limit_of_its_own() -> None:
    noisy = np.arange(400) % 4 == 0
    errors = np.where(noisy, 2, 0)  # 40 % of the words on a quarter of the clips
    scores = clips(errors, conditions=("noisy", "clean", "clean", "clean"))
    outcomes = {}
    for limit in (0.3, 0.42, 0.6):
        policy = replace(POLICY, safety=SafetyPolicy(max_slice=limit))
        verdict = decide_verdict(scores, scores, policy, measured=MEASURED)
        outcomes[limit] = (verdict.outcome, check(verdict, "worst condition").outcome)
    assert outcomes == {0.3: ("failed",) * 2, 0.42: ("undecided",) * 2, 0.6: ("passed",) * 2}
    found = check(decide_verdict(scores, None, POLICY, measured=MEASURED), "worst condition")
    assert (found.passed, found.detail) == (True, "noisy with WER 40.00 %, no limit is set")


def test_ten_conditions_at_the_limit_do_not_fail_by_chance() -> None:
    rng, names = np.random.default_rng(0), tuple(f"n{i}" for i in range(10))
    policy = GatePolicy(limit=0.5, resamples=300, safety=SafetyPolicy(max_slice=0.2))
    found = [
        check(
            decide_verdict(clips(rng.binomial(5, 0.2, 600), conditions=names), None, policy, measured=MEASURED),
            "worst condition",
        )
        for _ in range(40)
    ]
    assert sum(one.outcome == "failed" for one in found) <= 4
    assert sum(one.outcome == "passed" for one in found) <= 2


def test_conditions_that_are_all_too_small_leave_their_limit_undecided() -> None:
    scores = clips([0] * 40, conditions=("a", "b"))
    policy = GatePolicy(resamples=300, safety=SafetyPolicy(max_slice=0.2))
    found = check(decide_verdict(scores, None, policy, measured=MEASURED), "worst condition")
    assert (found.outcome, found.detail) == ("undecided", "no condition has 30 clips or more")


def test_measurements_and_checks_survive_json() -> None:
    verdict = judged(np.zeros(400, int))
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict


def test_a_slower_machine_changes_both_times_and_no_verdict() -> None:
    busy = replace(MEASURED, speed=Speed(10.0, 5.0, 7.5, "cpu"))
    assert check(judged(measured=busy), "slowdown") == check(judged(), "slowdown")


def test_limits_out_of_range_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)max_improvement is 1.5.*max_slowdown is -1.*interference_clips is 0"):
        SafetyPolicy(max_improvement=1.5, max_slowdown=-1, interference_clips=0)
