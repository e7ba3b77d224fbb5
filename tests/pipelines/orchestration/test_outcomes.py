from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.gating.decide import decide_verdict
from pipelines.gating.gate import GateResult
from pipelines.orchestration.outcomes import concluded_all, gate_rows, gate_state
from pipelines.orchestration.prefect_api import REFUSED
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Outcome
from tests.support.scores import clips

VERDICT = decide_verdict(clips([0] * 400), clips([1] * 400), GatePolicy(resamples=100))


def _result(outcome: Outcome) -> GateResult:
    verdict = replace(VERDICT, outcome=outcome, reasons=("worse", "by 0.3"))
    return GateResult(verdict, Path("/e"), 4, 3, reused=False, dry_run=False)


@pytest.mark.parametrize("outcome", ["failed", "undecided"])
def test_a_refusal_is_a_completed_run_of_that_name(outcome: Outcome) -> None:
    state = gate_state("plant-a/asr", _result(outcome))
    assert (state.type.value, state.name) == ("COMPLETED", REFUSED)
    assert state.message == f"plant-a/asr v4: {outcome} (worse; by 0.3)"


def test_a_pass_is_a_plain_completion() -> None:
    state = gate_state("plant-a/asr", _result("passed"))
    assert (state.type.value, state.name, state.message) == ("COMPLETED", "Completed", "plant-a/asr v4: passed")


def test_the_rows_of_a_verdict_name_version_numbers_and_reasons() -> None:
    assert gate_rows(_result("failed")) == {
        "verdict": "failed",
        "gated version": 4,
        "metric": "wer",
        "challenger": 0.0,
        "champion": 0.2,
        "champion version": 3,
        "first version": False,
        "clips still needed": None,
        "reasons": "worse; by 0.3",
        "evidence": "/e",
    }


@pytest.mark.parametrize(
    ("states", "kind", "name"),
    [
        ([("COMPLETED", "Completed")], "COMPLETED", "Completed"),
        ([("COMPLETED", "Completed"), ("COMPLETED", REFUSED)], "COMPLETED", REFUSED),
        ([("COMPLETED", REFUSED), ("FAILED", "Failed")], "FAILED", "Failed"),
        ([("CRASHED", "Crashed")], "FAILED", "Failed"),
    ],
)
def test_the_run_over_all_slots_ends_as_its_worst(states, kind: str, name: str) -> None:
    runs = [{"slot": f"s{i}/asr", "type": t, "state": s} for i, (t, s) in enumerate(states)]
    state = concluded_all(runs)
    assert (state.type.value, state.name) == (kind, name)
