from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.monitoring.error_estimate import ErrorEstimate
from pipelines.monitoring.look import AudioLook, ScoreMove
from pipelines.monitoring.retrain_decision import RetrainFacts, confidence_fell, decide_retrain
from pipelines.registry.policies import RetrainPolicy

QUIET = RetrainFacts(False, False, 10.0, 0, None, 0, 0)
LOSS = replace(QUIET, alarm=True, confidence_fell=True)
POLICY = RetrainPolicy()


def test_drift_alone_is_no_loss() -> None:
    found = decide_retrain(replace(QUIET, alarm=True), POLICY)
    assert (found.outcome, found.reasons) == (
        "not needed", ("the audio changed, but the champion's confidence did not fall",)
    )  # fmt: skip
    assert decide_retrain(replace(QUIET, confidence_fell=True), POLICY).outcome == "not needed"
    assert decide_retrain(QUIET, POLICY).reasons == ("no change, no limit reached",)


def test_drift_with_a_falling_confidence_starts_a_retraining() -> None:
    found = decide_retrain(LOSS, POLICY)
    assert (found.outcome, found.reasons) == ("started", ("the audio changed and the champion's confidence fell",))


def test_an_old_champion_and_new_clips_start_one_at_their_limits() -> None:
    policy = RetrainPolicy(max_age_days=10, new_clips=5)
    assert decide_retrain(QUIET, policy).reasons == ("the champion is 10 days old, limit 10",)
    assert decide_retrain(replace(QUIET, champion_days=9.9), policy).outcome == "not needed"
    fresh = replace(QUIET, champion_days=1.0, new_clips=5)
    assert decide_retrain(fresh, policy).reasons == ("5 new clips, limit 5",)
    assert decide_retrain(replace(fresh, new_clips=4), policy).outcome == "not needed"
    assert decide_retrain(replace(fresh, new_clips=10**6), POLICY).outcome == "not needed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"days_since_start": 6.9}, "cooldown: the last start was 6.9 days ago, of 7"),
        ({"slot_starts": 1}, "weekly budget of the slot: 1 start, of 1"),
        ({"fleet_starts": 10}, "weekly budget of all slots: 10 starts, of 10"),
    ],
)
def test_cooldown_and_budgets_hold_a_start_back_and_say_so(changes: dict[str, float], reason: str) -> None:
    found = decide_retrain(replace(LOSS, **changes), POLICY)
    assert found.outcome == "held back"
    assert found.reasons == ("the audio changed and the champion's confidence fell", reason)


@given(
    st.builds(
        RetrainFacts, st.booleans(), st.booleans(), st.floats(0, 1e4), st.integers(0, 1000),
        st.none() | st.floats(0, 100), st.integers(0, 3), st.integers(0, 30),
    )
)  # fmt: skip
def test_no_start_breaks_a_limit_and_every_decision_has_a_reason(facts: RetrainFacts) -> None:
    policy = RetrainPolicy(max_age_days=100, new_clips=100)
    found = decide_retrain(facts, policy)
    assert found.reasons
    if found.outcome == "started":
        assert facts.slot_starts < policy.weekly
        assert facts.fleet_starts < policy.fleet_weekly
        assert facts.days_since_start is None or facts.days_since_start >= policy.cooldown_days


@pytest.mark.parametrize(("deviations", "evidence", "fell"), [(-2.0, 0.3, True), (-2.0, 0.1, False), (2.0, 1.0, False)])
def test_a_fall_needs_a_lower_confidence_and_evidence_of_it(deviations: float, evidence: float, fell: bool) -> None:
    move = ScoreMove("confidence", 0.9, 0.5, deviations, evidence, False)
    other = replace(move, name="snr_db", deviations=-9.0, evidence=1.5)
    look = AudioLook("a/asr", 1, "", "", "", 1, "", 9, 0, 0, 0, {}, (other, move), 1.0, "", ErrorEstimate(None))
    assert confidence_fell(look) is fell
