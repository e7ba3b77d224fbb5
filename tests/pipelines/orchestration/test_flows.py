"""What the flows do, in which order, with the steps replaced: the steps have tests of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.errors import DataRefused, VersioningError
from pipelines.gating.gate import GateOutcome
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration import flows, migrate_flow
from pipelines.orchestration.run_outcome import REFUSED, UNDECIDED, RunOutcome, SlotRun
from pipelines.prefect_names import WRONG_RELEASE
from pipelines.registry.slot import Slot
from pipelines.release import installed_release
from pipelines.training.register import Registered
from tests.support.outcomes import DATASET, JUDGED, REGISTERED


class Steps:
    """Stands for the tasks: notes what was called, and returns the records that a test sets."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.verdict = "passed"
        self.waiting: list[Path] = []
        self.settings: list[Settings] = []
        self.meanwhile: Callable[[], None] | None = None
        self.after_training: Callable[[], object] = lambda: None
        self.published = RunOutcome()
        self.cloned: Workspace | None = None

    def import_training(self) -> None:
        self.called.append("import")

    def ingest_delivery(
        self, workspace: Workspace, slot: Slot, source: str, options: Any = None, meanwhile: Any = None
    ) -> None:
        self.called.append(f"ingest {source}")
        self.meanwhile = meanwhile
        if "bad" in source:
            raise DataRefused(str(slot), ["half of it is noise"])

    def latest_dataset(self, workspace: Workspace, slot: Slot, version: str = "latest") -> DatasetVersion:
        self.called.append(f"dataset {version}")
        return DATASET

    def train_slot(self, workspace: Workspace, slot: Slot, tag: str, shared: Any = None) -> Registered:
        self.called.append(f"train {tag}")
        self.settings.append(workspace.settings)
        self.after_training()
        return REGISTERED

    def train_slots(self, workspace: Workspace, tags: dict[Slot, str]) -> dict[Slot, Registered]:
        self.called.append(f"train {', '.join(f'{slot}: {tag}' for slot, tag in tags.items())}")
        return dict.fromkeys(tags, REGISTERED)

    def gate_slot(self, workspace: Workspace, slot: Slot, version: int | None, backbone: str = "") -> GateOutcome:
        self.called.append(f"gate {version} {backbone}".rstrip())
        self.settings.append(workspace.settings)
        return dataclasses.replace(JUDGED, verdict=dataclasses.replace(JUDGED.verdict, outcome=self.verdict))

    def promote_slot(self, workspace: Workspace, slot: Slot, version: int) -> None:
        self.called.append(f"promote {version}")

    def clone_workspace(self, workspace: str, revision: str) -> Workspace:
        self.called.append(f"clone {workspace} {revision}")
        assert self.cloned
        return self.cloned

    def take_inbox(
        self, workspace: Workspace, slot: Slot, options: Any = None, meanwhile: Any = None
    ) -> dict[str, str]:
        for path in self.waiting:
            if "bad" not in path.name:
                self.ingest_delivery(workspace, slot, str(path), options, meanwhile)
        return {path.name: "half of it is noise" for path in self.waiting if "bad" in path.name}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(flows, "tasks", steps)
    monkeypatch.setattr(flows, "publish_outcome", lambda flow, slot, done, title: setattr(steps, "published", done))
    return steps


def test_retrain_is_ingest_train_gate(workspace: Workspace, steps: Steps) -> None:
    state = flows.retrain.fn(str(workspace.root), "plant-a/asr", "/in/monday")
    assert steps.called == ["ingest /in/monday", "dataset latest", "train data/plant-a/asr/v2", "gate 5"]
    assert state.name == "Completed"
    assert steps.meanwhile == steps.import_training
    assert steps.published == RunOutcome(DATASET, REGISTERED, JUDGED)


def test_settings_that_are_edited_in_the_middle_of_a_run_are_not_used_by_it(workspace: Workspace, steps: Steps) -> None:
    def edit() -> None:
        (workspace.root / "elp.yaml").write_text(
            "auto_promote: true\nslots: {plant-a/asr: {train: {epochs: 99}, gate: {limit: 0.01}}}\n"
        )

    steps.after_training = edit
    flows.retrain.fn(str(workspace.root), "plant-a/asr", "/in/monday")
    trained, judged = steps.settings
    assert judged is trained
    assert judged == workspace.settings
    assert "promote 5" not in steps.called
    flows.gate.fn(str(workspace.root), "plant-a/asr")
    assert steps.settings[-1].for_slot(Slot("plant-a", "asr")).gate.limit == 0.01
    assert steps.called[-1] == "promote 5"


def test_without_a_source_the_inbox_is_taken_in(workspace: Workspace, steps: Steps) -> None:
    steps.waiting = [Path("/inbox/1"), Path("/inbox/2")]
    flows.retrain.fn(str(workspace.root), "plant-a/asr")
    assert steps.called[:3] == ["ingest /inbox/1", "ingest /inbox/2", "dataset latest"]


def test_a_refused_delivery_of_the_inbox_does_not_stop_the_run(workspace: Workspace, steps: Steps) -> None:
    steps.waiting = [Path("/inbox/1"), Path("/inbox/bad")]
    flows.retrain.fn(str(workspace.root), "plant-a/asr")
    assert steps.called[-1] == "gate 5"
    assert steps.published.refused == {"bad": "half of it is noise"}
    assert steps.published.rows()["refused in the inbox: bad"] == "half of it is noise"


def test_without_any_data_the_refusals_are_the_reason(
    workspace: Workspace, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_dataset(*_: Any) -> None:
        raise VersioningError("plant-a/asr has no dataset version yet")

    monkeypatch.setattr(steps, "latest_dataset", no_dataset)
    with pytest.raises(VersioningError, match="no dataset version yet"):
        flows.ingest.fn(str(workspace.root), "plant-a/asr")
    steps.waiting = [Path("/inbox/bad")]
    with pytest.raises(DataRefused, match="bad: half of it is noise"):
        flows.ingest.fn(str(workspace.root), "plant-a/asr")


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
    steps.verdict = outcome
    state = flows.retrain.fn(str(workspace.root), "plant-a/asr")
    assert ("promote 5" in steps.called) is promoted
    assert state.name == {"passed": "Completed", "failed": REFUSED, "undecided": UNDECIDED}[outcome]
    assert steps.published.promoted is promoted


def test_a_run_for_another_release_ends_as_such_and_does_nothing(workspace: Workspace, steps: Steps) -> None:
    state = flows.retrain.fn(str(workspace.root), "plant-a/asr", release="elp 9.9, recipe 7")
    assert state is not None
    assert (state.type.value, state.name) == ("FAILED", WRONG_RELEASE)
    assert "asks for elp 9.9, recipe 7, and this worker has elp " in str(state.message)
    assert steps.called == []


def test_a_workspace_on_another_machine_is_cloned_by_a_task(workspace: Workspace, steps: Steps) -> None:
    steps.cloned = workspace
    flows.retrain.fn("ssh://elp@control/foundry.git", "plant-a/asr", revision="abc", release=installed_release())
    assert steps.called[0] == "clone ssh://elp@control/foundry.git abc"
    assert steps.called[-1] == "gate 5"


def test_nothing_is_promoted_by_default(workspace: Workspace, steps: Steps) -> None:
    flows.gate.fn(str(workspace.root), "plant-a/asr")
    assert steps.called == ["gate None"]


def test_train_takes_the_version_it_is_told(workspace: Workspace, steps: Steps) -> None:
    flows.train.fn(str(workspace.root), "plant-a/asr", "v2")
    assert steps.called == ["dataset v2", "train data/plant-a/asr/v2"]


def test_a_slot_that_migrates_is_trained_as_its_champion_and_judged_as_its_settings_say(
    workspace: Workspace, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, backbone="org/new"))
    asked: list[Any] = []
    monkeypatch.setattr(migrate_flow, "tasks", steps)
    monkeypatch.setattr(migrate_flow, "publish_outcome", flows.publish_outcome)
    monkeypatch.setattr(
        migrate_flow, "read_champion", lambda *given: (asked.extend(given[1:]), ("data/x/v1", moved))[1]
    )
    state = migrate_flow.migrate.fn(str(workspace.root), "plant-a/asr", "org/new", "sha256:1", 3)
    assert asked == [Slot("plant-a", "asr"), 3, "org/new", "sha256:1"]
    assert steps.called == ["train data/x/v1", "gate 5 org/new"]
    assert [one.backbone for one in steps.settings] == ["org/new", workspace.settings.backbone]
    assert (state.name, steps.published) == ("Completed", RunOutcome(adapter=REGISTERED, gate=JUDGED))


def test_several_slots_are_trained_in_one_pass(workspace: Workspace, steps: Steps) -> None:
    flows.train.fn(str(workspace.root), "plant-a/asr", also=["plant-a/asv", "plant-a/asr"])
    tag = "data/plant-a/asr/v2"
    assert steps.called == ["dataset latest", "dataset latest", f"train plant-a/asv: {tag}, plant-a/asr: {tag}"]
    text = f"elp.plant-a.asr v5 on {tag}"
    assert steps.published.slots == (SlotRun("plant-a/asv", text), SlotRun("plant-a/asr", text))


def test_a_run_over_several_slots_waits_for_all_and_takes_the_gpus_of_all(
    workspace: Workspace, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = {"plant-b/asr": {"compute": {"processes": 2}}}
    settings = dataclasses.replace(workspace.settings, slots=several)
    monkeypatch.setattr(flows, "open_workspace", lambda _: Workspace(workspace.root, settings))
    asked: list[Any] = []
    monkeypatch.setattr(flows, "wait_for_turn", lambda _, slots: asked.append([str(slot) for slot in slots]))
    monkeypatch.setattr(flows, "take_gpu", asked.append)
    flows.retrain.fn(str(workspace.root), "plant-a/asr", also=["plant-b/asr", "plant-a/asr"])
    assert asked == [["plant-a/asr", "plant-b/asr"], 2]


def test_a_look_waits_for_another_look_at_its_slot_only(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: str, slots: list[Any], of: tuple[str, ...]) -> None:
        raise InterruptedError(f"{slots[0]}: {of}")

    monkeypatch.setattr(flows, "wait_for_turn", wait)
    with pytest.raises(InterruptedError, match=r"plant-a/asr: \('monitor',\)"):
        flows.monitor.fn(str(workspace.root), "plant-a/asr")


@pytest.mark.parametrize(
    ("also", "name"), [(None, "train plant-a/asr"), (["plant-a/asv", "plant-b/asr"], "train plant-a/asr + 2 more")]
)
def test_a_run_is_named_for_all_its_slots(monkeypatch: pytest.MonkeyPatch, also: list[str] | None, name: str) -> None:
    monkeypatch.setattr(flows, "flow_run", SimpleNamespace(parameters={"slot": "plant-a/asr", "also": also}))
    assert flows.train.flow_run_name() == name
