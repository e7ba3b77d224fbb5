from __future__ import annotations

import dataclasses
import json
import math

import pytest

from pipelines.errors import ServiceError
from pipelines.orchestration.run_outcome import (
    REFUSED,
    UNDECIDED,
    RunOutcome,
    SlotRun,
    final_state,
    final_state_of_all,
)
from tests.support.outcomes import DATASET, JUDGED, REGISTERED


@pytest.mark.parametrize(("outcome", "name"), [("failed", REFUSED), ("undecided", UNDECIDED)])
def test_a_refusal_is_a_completed_run_of_that_name(outcome: str, name: str) -> None:
    verdict = dataclasses.replace(JUDGED.verdict, outcome=outcome, reasons=("worse by 0.3", "too loud"))
    state = final_state("plant-a/asr", dataclasses.replace(JUDGED, verdict=verdict))
    assert (state.type.value, state.name) == ("COMPLETED", name)
    assert state.message == f"plant-a/asr v5: {outcome} (worse by 0.3; too loud)"


def test_a_pass_is_a_plain_completion() -> None:
    state = final_state("plant-a/asr", JUDGED)
    assert (state.name, state.message) == ("Completed", "plant-a/asr v5: passed")


@pytest.mark.parametrize(
    ("states", "kind", "name"),
    [
        ([("COMPLETED", "Completed")], "COMPLETED", "Completed"),
        ([("COMPLETED", "Completed"), ("COMPLETED", REFUSED)], "COMPLETED", REFUSED),
        ([("COMPLETED", UNDECIDED), ("COMPLETED", REFUSED)], "COMPLETED", REFUSED),
        ([("COMPLETED", "Completed"), ("COMPLETED", UNDECIDED)], "COMPLETED", UNDECIDED),
        ([("COMPLETED", REFUSED), ("FAILED", "Failed")], "FAILED", "Failed"),
        ([("CRASHED", "Crashed")], "FAILED", "Failed"),
    ],
)
def test_the_run_over_all_slots_ends_as_its_worst(states, kind: str, name: str) -> None:
    runs = [SlotRun(f"s{i}/asr", "", state, state_type) for i, (state_type, state) in enumerate(states)]
    state = final_state_of_all(runs)
    assert (state.type.value, state.name) == (kind, name)


@pytest.mark.parametrize(
    "outcome",
    [
        RunOutcome(),
        RunOutcome(DATASET, REGISTERED, JUDGED, promoted=True),
        RunOutcome(DATASET, refused={"monday": "it has 2 faults"}),
        RunOutcome(slots=(SlotRun("plant-a/asr", "Completed: all well", "Completed", "COMPLETED"),)),
    ],
)
def test_the_record_comes_back_equal_from_its_json(outcome: RunOutcome) -> None:
    assert RunOutcome.from_json(json.loads(json.dumps(outcome.to_json(), allow_nan=False))) == outcome


def test_an_infinite_bound_crosses_as_json() -> None:
    verdict = dataclasses.replace(JUDGED.verdict, challenger_interval=(0.0, math.inf))
    outcome = RunOutcome(gate=dataclasses.replace(JUDGED, verdict=verdict))
    assert RunOutcome.from_json(json.loads(json.dumps(outcome.to_json(), allow_nan=False))) == outcome


def test_another_format_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"reports in format 2, this elp reads 1; install one version"):
        RunOutcome.from_json(RunOutcome().to_json() | {"format": 2})


def test_the_rows_keep_the_names_that_scripts_read() -> None:
    rows = RunOutcome(DATASET, REGISTERED, JUDGED, promoted=True).rows()
    assert rows == {
        "dataset": "data/plant-a/asr/v2",
        "clips": 9,
        "minutes": 1.0,
        "speakers": 3,
        "quarantined": 1,
        "golden set": "golden/plant-a/asr/v1",
        "adapter": "elp.plant-a.asr v5",
        "version": 5,
        "reused": False,
        "bundle": "sha256:0",
        "mlflow run": "r",
        "training: wer": 0.1,
        "verdict": "passed",
        "gated version": 5,
        "metric": "wer",
        "challenger": 0.1,
        "champion": None,
        "champion version": None,
        "first version": True,
        "clips still needed": None,
        "reasons": "",
        "evidence": "/e",
        "promoted": True,
    }
