"""Whole verdicts, with every sentence word for word and every number, compared with `tests/goldens/verdicts.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.gating.compare import Scores
from pipelines.gating.decide import decide_verdict
from pipelines.registry.policies import GatePolicy, SafetyPolicy
from pipelines.registry.verdict import GateCheck, Measured, Verdict
from tests.support.measured import MEASURED, interference, slot_outputs
from tests.support.scores import classes, clips, trials

POLICY = GatePolicy(limit=0.5, margin=0.02, resamples=400)
BEFORE = np.random.default_rng(0).binomial(5, 0.1, 400)
GOOD, WEAK = trials(12, 5, 0.6), trials(12, 5, 0.9)
COMMON = (
    "interference passed: 1 of 5 other slots compared, bit for bit the same with the challenger loaded: plant-b/asr v3",
    "backbone unchanged passed: tensors in memory sha256:b before, the same after",
    "bundle size passed: 4.20 MB, at most 256.00 MB",
    "parameters passed: 1,050,000, no limit is set",
    "slowdown passed: 1.50 times the backbone alone (on 10.0 s of audio, cpu), at most 5.00 times the backbone alone",
    "real-time factor passed: 0.0750 (on 10.0 s of audio, cpu), no limit is set",
)
"""Checks of `MEASURED` under the default limits; they are left out of the expected sentences."""
EXPECTED = json.loads((Path(__file__).resolve().parents[2] / "goldens" / "verdicts.json").read_text())
QUIET = ("quiet", "street")


def judge(
    challenger: Scores,
    champion: Scores | None = None,
    measured: Measured | None = None,
    closed_set: bool = False,
    checks: tuple[GateCheck, ...] = (),
    limit: float = 0.5,
    margin: float = 0.02,
    **safety: float | None,
) -> Verdict:
    policy = replace(POLICY, limit=limit, margin=margin, safety=replace(SafetyPolicy(), **safety))
    return decide_verdict(challenger, champion, policy, checks, closed_set=closed_set, measured=measured)


def sentences(verdict: Verdict) -> list[str]:
    """Return the outcome, every reason, and every check that was derived."""
    lines = [f"{verdict.outcome} {verdict.needed} {verdict.needed_blocks}", *verdict.reasons]
    assert all(check.derived for check in verdict.checks if not check.name.startswith("fact"))
    checks = [f"{check.name} {check.outcome}: {check.detail}" for check in verdict.checks]
    return lines + [line for line in checks if line not in COMMON]


def numbers(verdict: Verdict) -> dict[str, Any]:
    """Return the other fields of the verdict as JSON values, rounded to what two processors compute alike."""
    values = verdict.to_json()
    for name in ("policy", "measured", "checks", "reasons", "outcome", "needed", "needed_blocks"):
        del values[name]
    assert (verdict.measured is None) == (not any(check.derived for check in verdict.checks))
    rounded: dict[str, Any] = json.loads(json.dumps(values), parse_float=lambda digits: round(float(digits), 8))
    return rounded


def at(own: float | None, other: float | None) -> Measured:
    return replace(MEASURED, challenger_threshold=own, champion_threshold=other)


CASES: dict[str, Callable[[], Verdict]] = {
    "one clip": lambda: judge(clips([0]), clips([0])),
    "two speakers": lambda: judge(clips([0, 1, 0, 1], 2), clips([0, 0, 1, 1], 2)),
    "no words": lambda: judge(clips([0, 0], words=0), clips([0, 0], words=0)),
    "first version above the limit": lambda: judge(clips(BEFORE + 3, 8)),
    "failed facts": lambda: judge(
        clips(BEFORE, 8),
        clips(BEFORE, 8),
        checks=(GateCheck("fact a", False, "one"), GateCheck("fact b", False, "two", undecided=True)),
    ),
    "a worse condition": lambda: judge(
        clips(BEFORE + 2 * (np.arange(400) % 2), conditions=QUIET), clips(BEFORE, conditions=QUIET), margin=0.3
    ),
    "small conditions": lambda: judge(classes(40, 0.1, conditions=QUIET)),
    "silent challenger": lambda: judge(clips(BEFORE * 0, 20), clips(BEFORE, 20), MEASURED, least_metric=0.05),
    "half of the errors": lambda: judge(clips(BEFORE // 2, 20), clips(BEFORE, 20), MEASURED),
    "a champion without errors": lambda: judge(clips(BEFORE, 20), clips(BEFORE * 0, 20), MEASURED, margin=0.2),
    "no limits": lambda: judge(
        clips(BEFORE, 20),
        clips(BEFORE, 20),
        MEASURED,
        max_improvement=None,
        max_megabytes=None,
        max_slowdown=None,
        interference_slots=0,
    ),
    "all limits": lambda: judge(
        clips(BEFORE, 20),
        clips(BEFORE, 20),
        MEASURED,
        max_megabytes=1.0,
        max_parameters=10,
        max_slowdown=1.0,
        max_real_time_factor=0.01,
    ),
    "many slots": lambda: judge(
        clips(BEFORE, 20),
        None,
        replace(
            MEASURED,
            backbone_after="sha256:c",
            interference=replace(
                interference(*(slot_outputs(f"plant-{n}/asr", after="x") for n in range(6)), slots=12),
                skipped=tuple(f"plant-{n}/ser: gone" for n in range(5)),
            ),
        ),
    ),
    "slots that are the same": lambda: judge(
        clips(BEFORE, 20),
        None,
        replace(MEASURED, interference=interference(*(slot_outputs() for _ in range(4)), slots=1)),
    ),
    "worst condition undecided": lambda: judge(
        clips(BEFORE, conditions=QUIET), None, MEASURED, max_slice=float(BEFORE[1::2].mean() / 5) + 0.005
    ),
    "worst condition failed": lambda: judge(clips(BEFORE + 2, conditions=QUIET), None, MEASURED, max_slice=0.3),
    "worst condition passed": lambda: judge(clips(BEFORE, conditions=QUIET), None, MEASURED, max_slice=0.3),
    "worst condition in a closed set": lambda: judge(
        clips(BEFORE, 3, conditions=QUIET), None, MEASURED, closed_set=True, max_slice=0.3
    ),
    "worst condition too small": lambda: judge(clips([0] * 40, conditions=QUIET), None, MEASURED, max_slice=0.3),
    "condition of exactly the smallest size": lambda: judge(clips([1] * 60, conditions=QUIET), None, MEASURED),
    "trials without limits": lambda: judge(GOOD, WEAK, at(0.4, 0.5), operating_margin=None),
    "trials undecided": lambda: judge(GOOD, WEAK, at(0.4, 0.4), max_false_accepts=0.02, operating_margin=0.0),
    "trials in a closed set": lambda: judge(
        GOOD, WEAK, at(0.4, 0.4), closed_set=True, max_false_accepts=0.02, max_false_rejects=0.1
    ),
    "trials failed": lambda: judge(GOOD, GOOD, at(0.0, 0.4), max_false_accepts=0.01, operating_margin=0.01),
    "trials of a first version": lambda: judge(GOOD, None, at(0.4, 0.4), max_false_rejects=0.5),
    "no champion threshold": lambda: judge(GOOD, WEAK, at(0.4, None)),
    "no own threshold": lambda: judge(GOOD, WEAK, at(None, 0.4), operating_margin=None, max_false_accepts=0.1),
    "no threshold and no champion": lambda: judge(GOOD, None, at(None, 0.4)),
    "failed and undecided": lambda: judge(clips([0]), clips([0]), checks=(GateCheck("fact a", False, "one"),)),
    "trials with a smaller closed set": lambda: judge(
        trials(4, 6, 0.9), trials(4, 6, 1.0), at(0.3, 0.3), closed_set=True, max_false_accepts=0.1, limit=0.2
    ),
    "conditions in a closed set": lambda: judge(
        clips(BEFORE + np.arange(400) % 3 // 2, 6, conditions=("quiet",)),
        clips(BEFORE, 6, conditions=("quiet",)),
        closed_set=True,
    ),
    "three conditions in a closed set": lambda: judge(
        clips(BEFORE + np.arange(400) % 5 // 4, 4, conditions=("a", "b", "c")),
        clips(BEFORE, 4, conditions=("a", "b", "c")),
        closed_set=True,
    ),
    "three conditions": lambda: judge(
        clips(BEFORE + np.arange(400) % 5 // 4, 9, conditions=("a", "", "c")),
        clips(BEFORE, 9, conditions=("a", "", "c")),
    ),
    "conditions of a first version": lambda: judge(clips(BEFORE, 9, conditions=QUIET), limit=0.115),
    "conditions of exactly the smallest size": lambda: judge(
        clips([1] * 60, conditions=QUIET), clips([0] * 60, conditions=QUIET), margin=0.5
    ),
    "trials by condition": lambda: judge(trials(8, 6, 0.7, conditions=QUIET), trials(8, 6, 0.8, conditions=QUIET)),
    "trials without scores of a condition": lambda: judge(
        trials(3, 2, 0.5, conditions=QUIET), trials(3, 2, 0.6, conditions=QUIET)
    ),
    "alarm without a champion's": lambda: judge(
        clips(BEFORE * 0, 20), clips(BEFORE, 20), MEASURED, max_improvement=1.0, least_metric=0.05
    ),
    "alarm of the champion's alone": lambda: judge(
        clips(BEFORE * 0, 20), clips(BEFORE, 20), MEASURED, least_metric=0.0
    ),
    "not repeatable": lambda: judge(
        clips(BEFORE, 20), None, replace(MEASURED, interference=interference(slot_outputs(), repeatable=False))
    ),
    "at a budget": lambda: judge(
        clips(BEFORE, 20), None, MEASURED, max_megabytes=4.2, max_parameters=1_050_000, max_slowdown=1.5
    ),
    "another confidence": lambda: decide_verdict(
        trials(6, 5, 0.8),
        trials(6, 5, 0.9),
        GatePolicy(0.2, 0.05, 0.8, 300, 5, 7, SafetyPolicy(max_false_accepts=0.05)),
        measured=at(0.45, 0.5),
    ),
    "another confidence for clips": lambda: decide_verdict(
        clips(BEFORE + 1, 12, conditions=QUIET),
        clips(BEFORE, 12, conditions=QUIET),
        GatePolicy(0.4, 0.19, 0.8, 300, 5, 7, SafetyPolicy(max_slice=0.32, least_metric=0.3, max_improvement=0.1)),
        measured=MEASURED,
    ),
    "a rate on its limit": lambda: judge(GOOD, None, at(2.0, None), max_false_rejects=1.0, max_false_accepts=0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_sentences_and_numbers_of_a_verdict(name: str) -> None:
    verdict = CASES[name]()
    assert sentences(verdict) == EXPECTED[name]["sentences"]
    assert numbers(verdict) == EXPECTED[name]["numbers"]
