"""What the flows do, in which order, with the steps replaced: the steps have tests of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.orchestration import slot_flows as flows
from pipelines.orchestration.prefect_api import REFUSED

DATASET = {
    **{"tag": "data/plant-a/asr/v2", "clips": 9, "seconds": 60.0, "speakers": 3, "quarantined": 1},
    "golden": "golden/plant-a/asr/v1",
}
REGISTERED = {
    **{"name": "elp.plant-a.asr", "version": 5, "reused": False, "bundle_digest": "sha256:0", "run_id": "r"},
    "metrics": {"wer": 0.1},
}
VERDICT = {
    **{"outcome": "passed", "metric": "wer", "challenger": 0.1, "champion": None, "first_version": True},
    **{"needed": None, "reasons": ()},
}


class Steps:
    """Stands for the tasks: notes what was called, answers what was laid out."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.verdict: dict[str, Any] = VERDICT
        self.waiting: list[Path] = []
        self.published: dict[str, Any] = {}

    def ingest_delivery(self, workspace: str, slot: str, source: str, options: Any = None) -> None:
        self.called.append(f"ingest {source}")
        if "bad" in source:
            raise DataRefused(slot, ["half of it is noise"])

    def latest_dataset(self, workspace: str, slot: str, version: str = "latest") -> dict[str, Any]:
        self.called.append(f"dataset {version}")
        return DATASET

    def train_slot(self, workspace: str, slot: str, tag: str) -> dict[str, Any]:
        self.called.append(f"train {tag}")
        return REGISTERED

    def train_slots(self, workspace: str, tags: dict[str, str]) -> dict[str, dict[str, Any]]:
        self.called.append(f"train {tags}")
        return dict.fromkeys(tags, REGISTERED)

    def gate_slot(self, workspace: str, slot: str, version: int | None) -> dict[str, Any]:
        self.called.append(f"gate {version}")
        return {"verdict": self.verdict, "version": version or 5, "champion": None, "evidence": "/e"}

    def promote_slot(self, workspace: str, slot: str, version: int) -> None:
        self.called.append(f"promote {version}")

    def inbox(self, *_: Any) -> list[Path]:
        return self.waiting


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(flows, "tasks", steps)
    monkeypatch.setattr(flows, "publish_outcome", lambda flow, slot, rows, title: steps.published.update(rows))
    return steps


def test_retrain_is_ingest_train_gate(workspace: Workspace, steps: Steps) -> None:
    state = flows.retrain.fn(str(workspace.root), "plant-a/asr", "/in/monday")
    assert steps.called == ["ingest /in/monday", "dataset latest", "train data/plant-a/asr/v2", "gate 5"]
    assert state.name == "Completed"
    assert steps.published["adapter"] == "elp.plant-a.asr v5"
    assert steps.published["verdict"] == "passed"


def test_without_a_source_the_inbox_is_taken_in(workspace: Workspace, steps: Steps) -> None:
    steps.waiting = [Path("/inbox/1"), Path("/inbox/2")]
    flows.retrain.fn(str(workspace.root), "plant-a/asr")
    assert steps.called[:3] == ["ingest /inbox/1", "ingest /inbox/2", "dataset latest"]


def test_refused_data_stops_before_training(workspace: Workspace, steps: Steps) -> None:
    with pytest.raises(DataRefused, match="half of it is noise"):
        flows.retrain.fn(str(workspace.root), "plant-a/asr", "/in/bad")
    assert steps.called == ["ingest /in/bad"]


@pytest.mark.parametrize(("outcome", "promoted"), [("passed", True), ("failed", False), ("undecided", False)])
def test_only_a_pass_is_promoted_where_the_workspace_says_so(
    workspace: Workspace, steps: Steps, monkeypatch: pytest.MonkeyPatch, outcome: str, promoted: bool
) -> None:
    settings = dataclasses.replace(workspace.settings, auto_promote=True)
    monkeypatch.setattr(flows, "open_workspace", lambda _: Workspace(workspace.root, settings))
    steps.verdict = {**VERDICT, "outcome": outcome}
    state = flows.retrain.fn(str(workspace.root), "plant-a/asr")
    assert ("promote 5" in steps.called) is promoted
    assert state.name == ("Completed" if promoted else REFUSED)


def test_nothing_is_promoted_by_default(workspace: Workspace, steps: Steps) -> None:
    flows.gate.fn(str(workspace.root), "plant-a/asr")
    assert steps.called == ["gate None"]


def test_train_takes_the_version_it_is_told(workspace: Workspace, steps: Steps) -> None:
    flows.train.fn(str(workspace.root), "plant-a/asr", "v2")
    assert steps.called == ["dataset v2", "train data/plant-a/asr/v2"]


def test_several_slots_are_trained_in_one_pass(workspace: Workspace, steps: Steps) -> None:
    flows.train.fn(str(workspace.root), "plant-a/asr", also=["plant-a/asv", "plant-a/asr"])
    tags = {"plant-a/asv": "data/plant-a/asr/v2", "plant-a/asr": "data/plant-a/asr/v2"}
    assert steps.called == ["dataset latest", "dataset latest", f"train {tags}"]
    assert steps.published == dict.fromkeys(tags, "elp.plant-a.asr v5 on data/plant-a/asr/v2")


@pytest.mark.parametrize(
    ("also", "name"), [(None, "train plant-a/asr"), (["plant-a/asv", "plant-b/asr"], "train plant-a/asr + 2 more")]
)
def test_a_run_is_named_for_all_its_slots(monkeypatch: pytest.MonkeyPatch, also: list[str] | None, name: str) -> None:
    monkeypatch.setattr(flows, "flow_run", SimpleNamespace(parameters={"slot": "plant-a/asr", "also": also}))
    assert flows.train.flow_run_name() == name
