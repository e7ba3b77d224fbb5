from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest

from pipelines.cli import flow_verbs as flows
from pipelines.cli.main import run
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import FollowedRun
from pipelines.orchestration.run_outcome import REFUSED, UNDECIDED, RunOutcome
from tests.support.outcomes import DATASET, JUDGED, REGISTERED

ASKED = FollowedRun("1", "retrain plant-a/asr", "Scheduled", "SCHEDULED", "", "http://ui/runs/1")
OUTCOME = RunOutcome(DATASET, REGISTERED, JUDGED)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A Prefect whose run ends as the test says; notes what was asked for."""
    record: dict[str, Any] = {
        "ends": dataclasses.replace(ASKED, state="Completed", state_type="COMPLETED", seconds=5.0)
    }

    def follow(*_: Any, **__: Any) -> FollowedRun:
        if isinstance(record["ends"], BaseException):
            raise record["ends"]
        return record["ends"]

    def start_run(*asked: Any) -> FollowedRun:
        _, _, _, parameters, name, tags, queue = asked
        record.update(parameters=parameters, name=name, tags=tags, queue=queue)
        return ASKED

    monkeypatch.setattr(flows, "connect_prefect", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(flows, "start_run", start_run)
    monkeypatch.setattr(flows, "read_outcome", lambda *_: OUTCOME)
    monkeypatch.setattr(flows, "follow", follow)
    return record


def _judged(monkeypatch: pytest.MonkeyPatch, outcome: str, *reasons: str) -> None:
    verdict = dataclasses.replace(JUDGED.verdict, outcome=outcome, reasons=reasons)
    judged = RunOutcome(DATASET, REGISTERED, dataclasses.replace(JUDGED, verdict=verdict))
    monkeypatch.setattr(flows, "read_outcome", lambda *_: judged)


def _elp(workspace: Workspace, *words: str) -> int:
    return run([*words, "-w", str(workspace.root)])


def test_a_pass_ends_with_0_and_its_table(workspace: Workspace, worker, capfd) -> None:
    assert _elp(workspace, "retrain", "plant-a/asr") == 0
    shown = capfd.readouterr()
    assert shown.out.startswith("plant-a/asr v5 passed the gate\n")
    assert "http://ui/runs/1" in shown.err


def test_a_refusal_ends_with_3_its_first_reason_and_its_report(
    workspace: Workspace, worker, monkeypatch, capfd
) -> None:
    _judged(monkeypatch, "failed", "worse by 0.3", "too loud")
    worker["ends"] = dataclasses.replace(worker["ends"], state=REFUSED, message="plant-a/asr v5: failed (worse)")
    assert _elp(workspace, "gate", "plant-a/asr") == 3
    shown = capfd.readouterr()
    assert shown.out.startswith("plant-a/asr v5 was refused by the gate\n")
    assert shown.err.endswith(
        "error: plant-a/asr v5 was refused by the gate: worse by 0.3\n"
        "nothing was promoted; the report: /e/report.html\n"
    )


def test_an_undecided_verdict_is_no_refusal_in_words(workspace: Workspace, worker, monkeypatch, capfd) -> None:
    _judged(monkeypatch, "undecided", "about 40 more clips are needed")
    monkeypatch.setattr(flows, "mlflow_uri", lambda _: "http://ml:5000")
    worker["ends"] = dataclasses.replace(worker["ends"], state=UNDECIDED)
    assert _elp(workspace, "retrain", "plant-a/asr") == 3
    shown = capfd.readouterr()
    assert "efused" not in shown.out + shown.err
    assert shown.out.startswith("plant-a/asr v5 is undecided\n")
    assert "is undecided: about 40 more clips are needed\n" in shown.err
    assert "the report: http://ml:5000/elp/slots/plant-a/asr/v5/report\n" in shown.err


@pytest.mark.parametrize(("name", "kind"), [("Failed", "FAILED"), ("Crashed", "CRASHED"), ("Cancelled", "CANCELLED")])
def test_a_run_that_failed_ends_with_1_and_its_page(workspace: Workspace, worker, capfd, name: str, kind: str) -> None:
    worker["ends"] = dataclasses.replace(ASKED, state=name, state_type=kind, message="MLflow is gone")
    assert _elp(workspace, "train", "plant-a/asr", "--data", "v2") == 1
    assert f"ended as {name}: MLflow is gone\nits page: http://ui/runs/1" in capfd.readouterr().err
    assert worker["parameters"] == {"slot": "plant-a/asr", "version": "v2"}


def test_what_prefect_puts_before_a_reason_is_left_out(workspace: Workspace, worker, capfd) -> None:
    message = "Flow run encountered an exception: VersioningError: no dataset version yet"
    worker["ends"] = dataclasses.replace(ASKED, state="Failed", state_type="FAILED", message=message)
    assert _elp(workspace, "train", "plant-a/asr") == 1
    assert "ended as Failed: VersioningError: no dataset version yet\n" in capfd.readouterr().err


def test_stopping_to_watch_says_that_the_run_continues(workspace: Workspace, worker, capfd) -> None:
    worker["ends"] = KeyboardInterrupt()
    assert _elp(workspace, "retrain", "plant-a/asr") == 130
    assert "the run continues: http://ui/runs/1" in capfd.readouterr().err


def test_detached_prints_the_page_and_waits_for_nothing(workspace: Workspace, worker, capfd) -> None:
    worker["ends"] = AssertionError("followed")
    assert _elp(workspace, "retrain", "plant-a/asr", "--detach") == 0
    assert capfd.readouterr().out == "http://ui/runs/1\n"


def test_a_source_goes_along_as_an_absolute_path_with_its_options(workspace: Workspace, worker, monkeypatch) -> None:
    monkeypatch.chdir(workspace.root)
    _elp(workspace, "retrain", "plant-a/asr", "elp.yaml", "--format", "nemo", "--snr", "5")
    source = str(workspace.root / "elp.yaml")
    assert worker["parameters"] == {"slot": "plant-a/asr", "source": source, "options": {"format": "nemo", "snr": 5.0}}


def test_all_slots_are_one_run(workspace: Workspace, worker, capfd) -> None:
    assert _elp(workspace, "retrain", "--all", "--json") == 0
    assert worker["name"] == "retrain all slots"
    assert json.loads(capfd.readouterr().out)["outcome"] == OUTCOME.rows()


def test_several_slots_are_one_training(workspace: Workspace, worker) -> None:
    assert _elp(workspace, "train", "plant-a/asr", "plant-b/asv", "plant-a/asr") == 0
    assert worker["parameters"] == {"slot": "plant-a/asr", "version": "latest", "also": ["plant-b/asv"]}
    assert (worker["name"], worker["tags"]) == ("train plant-a/asr + 1 more", ["plant-a/asr", "plant-b/asv"])


def test_a_version_goes_with_one_slot(workspace: Workspace, worker, capfd) -> None:
    assert _elp(workspace, "train", "plant-a/asr", "plant-b/asv", "--data", "v2") == 2
    assert "--data names a version of one slot" in capfd.readouterr().err
