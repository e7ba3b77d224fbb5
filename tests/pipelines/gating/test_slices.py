from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elp_core.errors import ConfigError
from pipelines.gating.compare import compare_scores
from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext, read_evidence
from pipelines.gating.simulated_scores import SimulatedScores
from pipelines.gating.slices import UNNAMED, conditions, holm, judge_slices
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy, RobustnessPolicy, SafetyPolicy, policy_digest
from pipelines.registry.verdict import SliceResult
from tests.support.measured import MEASURED
from tests.support.scores import clips, trials

POLICY = GatePolicy(limit=0.5, margin=0.02, resamples=500, min_slice=30)


def slices_of(challenger: Scores, champion: Scores | None) -> tuple[SliceResult, ...]:
    return judge_slices(challenger, champion, POLICY, False, compare_scores(challenger, champion, POLICY, False))


def test_holm_stops_at_the_first_that_stands() -> None:
    assert holm({"a": 0.001, "b": 0.012, "c": 0.4}, 0.025) == {"a", "b"}
    assert holm({"a": 0.001, "b": 0.013, "c": 0.014}, 0.025) == {"a"}
    assert holm({}, 0.025) == set()


def test_one_bad_condition_refuses_an_adapter_that_is_well_on_the_whole() -> None:
    before = np.random.default_rng(0).binomial(5, 0.3, 400)
    noisy = np.arange(400) % 10 == 9
    after = np.where(noisy, np.minimum(before + 3, 5), np.maximum(before - 1, 0))
    names = ("clean",) * 9 + ("noisy",)
    verdict = decide_verdict(clips(after, conditions=names), clips(before, conditions=names), POLICY)
    assert verdict.delta < 0
    assert {s.name: s.outcome for s in verdict.slices} == {"clean": "passed", "noisy": "failed"}
    assert verdict.outcome == "failed"
    assert "condition noisy: worse than allowed" in verdict.reasons[0]


def test_a_small_slice_is_undecided_and_holds_nothing_up() -> None:
    names = ("clean",) * 19 + ("rare",)
    scores = clips([0] * 400, conditions=names)
    verdict = decide_verdict(scores, scores, POLICY)
    rare = verdict.slices[1]
    assert (rare.outcome, rare.size, rare.p, rare.note) == ("undecided", 20, None, "20 clips, at least 30 are needed")
    assert verdict.outcome == "passed"
    assert any(reason.startswith("condition rare is undecided") for reason in verdict.reasons)


def test_clips_without_a_condition_are_not_left_out() -> None:
    assert set(conditions(clips([0] * 4, conditions=("clean", "")))) == {"clean", UNNAMED}
    assert conditions(clips([0] * 4)) == {}


def test_trials_belong_to_a_slice_where_both_clips_do() -> None:
    scores = trials(4, 4, 0.5, conditions=("clean", "noisy"))
    slices = conditions(scores)
    assert {name: len(at) for name, at in slices.items()} == {"clean": 28, "noisy": 28}


def test_a_slice_that_cannot_be_scored_says_why() -> None:
    scores = trials(3, 2, 0.5, conditions=("clean", "noisy"))
    found = slices_of(scores, scores)
    assert [s.outcome for s in found] == ["undecided", "undecided"]
    assert "0 target and 3 impostor trials" in found[0].note


def test_ten_slices_of_an_equal_adapter_do_not_refuse_it_by_chance() -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"n{i}" for i in range(10))
    refused = 0
    for _ in range(40):
        pair = rng.binomial(5, 0.12, 600), rng.binomial(5, 0.10, 600)  # true difference: the margin itself
        found = slices_of(*(clips(e, conditions=names) for e in pair))
        refused += any(s.outcome == "failed" for s in found)
    assert refused <= 4


def test_a_slice_of_all_clips_is_the_whole() -> None:
    scores = clips([0, 1] * 40, 4, conditions=("clean",))
    verdict = decide_verdict(scores, scores, POLICY)
    assert verdict.slices == slices_of(scores, scores)
    assert verdict.slices[0].interval == verdict.interval


def test_a_p_value_on_its_level_is_rejected_and_the_next_level_is_larger() -> None:
    assert holm({"a": 0.025, "b": 0.04}, 0.05) == {"a", "b"}
    assert holm({"a": 0.026, "b": 0.001}, 0.05) == {"a", "b"}
    assert holm({"a": 0.026, "b": 0.03}, 0.05) == set()
    assert holm({}, 0.05) == set()


HALL = "hall (simulated, severity 2)"
ROBUST = replace(POLICY, robustness=RobustnessPolicy(("hall", "mp3"), margin=0.1))


def under(family: str, after: np.ndarray, before: np.ndarray | None) -> SimulatedScores:
    return SimulatedScores(family, 2, clips(after, 8), None if before is None else clips(before, 8))


def test_a_simulated_condition_that_is_worse_beyond_its_margin_refuses_an_adapter(tmp_path: Path) -> None:
    before = np.random.default_rng(0).binomial(5, 0.2, 400)
    mild, harsh = np.minimum(before + (np.arange(400) % 20 == 0), 5), np.minimum(before + 2, 5)
    named = clips(before, 8, conditions=("clean", HALL))
    kinds = (under("hall", harsh, before), under("mp3", mild, before))
    verdict = decide_verdict(named, named, ROBUST, simulated=kinds)
    assert {s.name: s.outcome for s in verdict.slices} == {
        "clean": "passed",
        HALL: "passed",
        f"{HALL}*": "failed",
        "mp3 (simulated, severity 2)": "passed",
    }
    assert verdict.outcome == "failed"
    assert verdict.reasons[0].startswith(f"condition {HALL}*: worse than allowed")
    # the same under Holm's correction alone: a margin that contains the harm passes it
    wide = replace(ROBUST, robustness=RobustnessPolicy(("hall", "mp3"), margin=0.6))
    assert decide_verdict(named, named, wide, simulated=kinds).outcome == "passed"
    file = tmp_path / "evidence.json"
    file.write_bytes(Evidence(verdict, named, named, EvidenceContext(), kinds).to_bytes())
    assert read_evidence(file).recompute() == read_evidence(file).verdict == verdict


def test_the_limit_on_the_worst_condition_is_one_on_recordings() -> None:
    scores, harsh = clips(np.zeros(80, int), 8, conditions=("clean",)), np.full(80, 5)
    limited = replace(ROBUST, limit=0.2, safety=SafetyPolicy(max_slice=0.2))
    verdict = decide_verdict(scores, scores, limited, measured=MEASURED, simulated=(under("hall", harsh, harsh),))
    (worst,) = [check for check in verdict.checks if check.name == "worst condition"]
    assert worst.passed
    assert worst.detail.startswith("clean with WER 0.00 %")
    assert verdict.outcome == "passed"


def test_the_worst_condition_is_never_the_group_of_the_same_name() -> None:
    at = np.arange(160)
    groups = tuple("gender=f" if n == 1 else "gender=m" for n in at % 4)
    for wrong, name in ((1, "plain"), (0, "condition gender=f")):
        # the errors are in the group of that name, and then in the condition of that name
        scores = clips(5 * (at % 4 == wrong), conditions=("gender=f", "plain"))
        limited = replace(POLICY, limit=1.0, safety=SafetyPolicy(max_slice=0.2))
        verdict = decide_verdict(replace(scores, groups=groups), None, limited, measured=MEASURED)
        (worst,) = [check for check in verdict.checks if check.name == "worst condition"]
        assert (worst.outcome, worst.detail.split(" (")[0]) == ("failed", f"{name} with WER 50.00 %")


def test_without_a_champion_simulated_conditions_are_reported_only() -> None:
    scores, kinds = clips(np.zeros(80, int), 8), (under("hall", np.full(80, 5), None),)
    (found,) = decide_verdict(scores, None, ROBUST, simulated=kinds).slices
    assert (found.outcome, found.challenger, found.p) == ("undecided", 1.0, None)
    assert found.note == "there is no champion to compare with"
    assert decide_verdict(scores, None, ROBUST, simulated=kinds).outcome == "passed"


def test_a_policy_without_robustness_has_the_digest_and_the_evidence_of_before() -> None:
    assert "robustness" not in GatePolicy().to_json()
    assert policy_digest(ROBUST) != policy_digest(POLICY)
    scores = clips([0] * 40)
    assert (
        b"simulated"
        not in Evidence(decide_verdict(scores, scores, POLICY), scores, scores, EvidenceContext()).to_bytes()
    )
    with pytest.raises(ConfigError, match=r"severity is 5, expected 1 to 4\n.*families is \['hall', 'hall'\]"):
        RobustnessPolicy(("hall", "hall"), severity=5)
