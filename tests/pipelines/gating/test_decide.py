from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from elp_core.errors import ConfigError, CorpusError
from pipelines.gating.compare import Scores, compare_scores, delta_draws
from pipelines.gating.decide import decide_verdict
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import GateCheck, Verdict
from tests.support.scores import clips, trials

POLICY = GatePolicy(limit=0.5, margin=0.02, resamples=1_000)
CHAMPION = np.random.default_rng(0).binomial(5, 0.1, 200)
HARM = np.random.default_rng(1).binomial(1, 0.4, 200)


def test_an_equal_challenger_passes() -> None:
    verdict = decide_verdict(clips(CHAMPION, 8), clips(CHAMPION, 8), POLICY)
    assert (verdict.outcome, verdict.delta, verdict.blocks, verdict.unit) == ("passed", 0.0, 8, "speakers")
    assert verdict.reasons[0].startswith("WER changed by +0.00 points")


def test_a_clearly_worse_challenger_fails() -> None:
    verdict = decide_verdict(clips(CHAMPION + HARM, 8), clips(CHAMPION, 8), POLICY)
    assert verdict.outcome == "failed"
    assert verdict.interval[0] > POLICY.margin
    assert "worse than the allowed +2.00 points even at the lower end" in verdict.reasons[0]


def test_a_clearly_better_challenger_passes() -> None:
    assert decide_verdict(clips(CHAMPION, 8), clips(CHAMPION + HARM, 8), POLICY).passed


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_golden_set_of_three_utterances_is_undecided_with_a_number(count: int) -> None:
    for champion in (None, clips([0] * count)):
        verdict = decide_verdict(clips([0] * count), champion, POLICY)
        assert verdict.outcome == "undecided"
        assert verdict.needed >= 1
        assert any(f"too small: about {verdict.needed} more clip" in reason for reason in verdict.reasons)


def test_the_number_it_asks_for_decides() -> None:
    small = decide_verdict(clips([0] * 20), clips([0] * 20), POLICY)
    assert small.outcome == "undecided"
    enough = 20 + small.needed
    assert decide_verdict(clips([0] * enough), clips([0] * enough), POLICY).passed


def test_speakers_are_asked_for_where_speakers_were_drawn() -> None:
    verdict = decide_verdict(clips([0, 1, 0, 2, 0, 1], 3), clips([0, 0, 1, 0, 0, 0], 3), POLICY)
    assert (verdict.outcome, verdict.unit) == ("undecided", "speakers")
    assert verdict.needed == 2 * verdict.needed_blocks
    assert any("more speakers) would decide" in reason for reason in verdict.reasons)


def test_a_first_version_is_decided_by_the_limit_alone() -> None:
    good, bad = decide_verdict(clips(CHAMPION, 8), None, POLICY), decide_verdict(clips(CHAMPION + 3, 8), None, POLICY)
    assert (good.outcome, good.first_version, good.delta, good.interval) == ("passed", True, None, None)
    assert bad.outcome == "failed"
    assert "first version" in good.reasons[0]
    assert "is above the absolute limit of 50.00 %" in bad.reasons[0]


def test_a_limit_inside_the_interval_is_undecided() -> None:
    policy = replace(POLICY, limit=float(CHAMPION.mean() / 5) + 0.005)
    verdict = decide_verdict(clips(CHAMPION, 8), clips(CHAMPION, 8), policy)
    assert verdict.outcome == "undecided"
    assert verdict.needed is not None


def test_a_failed_check_fails_whatever_the_numbers_say() -> None:
    checks = (GateCheck("bundle intact", True, "yes"), GateCheck("no overlap", False, "3 golden clips were trained on"))
    verdict = decide_verdict(clips(CHAMPION, 8), clips(CHAMPION, 8), POLICY, checks)
    assert verdict.outcome == "failed"
    assert verdict.reasons[0] == "check no overlap failed: 3 golden clips were trained on"


def test_a_golden_set_without_words_is_undecided_without_a_number() -> None:
    verdict = decide_verdict(clips([0, 0], words=0), clips([0, 0], words=0), POLICY)
    assert (verdict.outcome, verdict.needed) == ("undecided", None)
    assert any("no larger one would" in reason for reason in verdict.reasons)


def test_a_closed_set_is_resampled_by_clip() -> None:
    verdict = decide_verdict(clips(CHAMPION, 4), clips(CHAMPION, 4), POLICY, closed_set=True)
    assert (verdict.unit, verdict.blocks, verdict.closed_set) == ("clips", 200, True)


def test_trials_are_decided_by_equal_error_rate() -> None:
    good, bad = trials(24, 7, 0.6), trials(24, 7, 1.6)
    policy = GatePolicy(limit=0.4, margin=0.01, resamples=500)
    assert decide_verdict(good, good, policy).outcome == "passed"
    verdict = decide_verdict(bad, good, policy)
    assert (verdict.outcome, verdict.metric, verdict.unit, verdict.blocks) == ("failed", "eer", "speakers", 24)


def test_the_same_input_gives_the_same_verdict_and_the_seed_counts() -> None:
    pair = clips(CHAMPION + HARM, 8), clips(CHAMPION, 8)
    assert decide_verdict(*pair, POLICY) == decide_verdict(*pair, POLICY)
    assert decide_verdict(*pair, POLICY).interval != decide_verdict(*pair, replace(POLICY, seed=1)).interval


@pytest.mark.parametrize("champion", [None, clips(CHAMPION, 8), clips([0], 1)], ids=["first", "second", "unbounded"])
def test_a_verdict_survives_json(champion: object) -> None:
    challenger = clips([0], 1) if champion is not None and len(champion) == 1 else clips(CHAMPION, 8)
    verdict = decide_verdict(challenger, champion, POLICY, [GateCheck("intact", True, "yes")])
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict


def test_a_damaged_verdict_is_refused_with_every_fault() -> None:
    values = decide_verdict(clips(CHAMPION, 8), None, POLICY).to_json()
    with pytest.raises(ConfigError, match=r"(?s)2 fault.*unknown key extra.*outcome is 'fine'"):
        Verdict.from_json({**values, "extra": 1, "outcome": "fine"})


@pytest.mark.parametrize(
    "champion",
    [clips(CHAMPION[:-1], 8), clips(CHAMPION, 7), clips(CHAMPION, 8, words=6), trials(3, 3, 0.5)],
    ids=["fewer", "speakers", "references", "kind"],
)
def test_scores_of_different_clips_are_refused(champion: object) -> None:
    with pytest.raises(CorpusError, match="not scored on the same clips"):
        decide_verdict(clips(CHAMPION, 8), champion, POLICY)


def test_no_clips_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"no clips were scored|no trials|needs both"):
        decide_verdict(clips([]), None, POLICY)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize(
    ("challenger", "champion"), [(clips(CHAMPION + HARM, 8), clips(CHAMPION, 8)), (trials(6, 4, 0.9), None)]
)
def test_the_draws_of_the_histogram_are_those_of_the_comparison(
    challenger: Scores, champion: Scores | None, closed: bool
) -> None:
    policy = GatePolicy(resamples=50, seed=3)
    draws = compare_scores(challenger, champion, policy, closed).draws
    expected = draws[0] if champion is None else draws[0] - draws[1]
    found = delta_draws(challenger, champion, closed, 50, 3)
    assert np.array_equal(found, expected[np.isfinite(expected)])
    assert len(found) <= 50


def test_unusable_resamples_are_left_out_of_the_histogram() -> None:
    few = trials(3, 2, 0.5)
    found = delta_draws(few, few, False, 300, 0)
    assert 0 < len(found) < 300
    assert set(found) == {0.0}
