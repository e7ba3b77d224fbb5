from __future__ import annotations

import numpy as np

from pipelines.gating.compare import compare_scores
from pipelines.gating.decide import decide_verdict
from pipelines.gating.slices import UNNAMED, conditions, holm, judge_slices
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import SliceResult
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
