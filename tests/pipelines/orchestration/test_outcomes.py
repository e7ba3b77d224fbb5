from __future__ import annotations

from typing import Any

import pytest

from pipelines.orchestration.outcomes import concluded, concluded_all, of_gate
from pipelines.orchestration.prefect_api import REFUSED

VERDICT = {
    "outcome": "failed",
    "metric": "wer",
    "challenger": 0.4,
    "champion": 0.1,
    "first_version": False,
    "needed": None,
    "reasons": ["worse by 0.3"],
}


def _rows(outcome: str) -> dict[str, Any]:
    judged = {"verdict": {**VERDICT, "outcome": outcome}, "version": 4, "champion": 3, "evidence": "/e"}
    return of_gate(judged)


@pytest.mark.parametrize("outcome", ["failed", "undecided"])
def test_a_refusal_is_a_completed_run_of_that_name(outcome: str) -> None:
    state = concluded("plant-a/asr", _rows(outcome))
    assert (state.type.value, state.name) == ("COMPLETED", REFUSED)
    assert state.message == f"plant-a/asr v4: {outcome} (worse by 0.3)"


def test_a_pass_is_a_plain_completion() -> None:
    assert concluded("plant-a/asr", _rows("passed")).name == "Completed"


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
