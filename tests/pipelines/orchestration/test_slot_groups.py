"""Which slots are retrained in one pass, and what a slot that fails does to the others: nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.errors import DataRefused, NotTrainable, ServiceError
from pipelines.gating.gate import GateOutcome
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.run_outcome import REFUSED
from pipelines.orchestration.slot_groups import GroupSteps, retrain_together, together
from pipelines.registry.slot import Slot
from pipelines.training.register import Registered
from tests.support.outcomes import DATASET, JUDGED, REGISTERED

SLOTS = [Slot(site, "asr") for site in ("a", "b", "c", "d", "e")]


def _groups(settings: str, slots: list[Slot] = SLOTS) -> list[tuple[str, str]]:
    return [(queue, "".join(slot.site for slot in group)) for queue, group in together(read_settings(settings), slots)]


def test_by_default_every_slot_has_a_run_of_its_own() -> None:
    assert _groups("") == [("default", site) for site in "abcde"]
    assert together(Settings(), []) == []


def test_slots_of_one_need_are_trained_together() -> None:
    assert _groups("servers: {together: 2}") == [("default", "ab"), ("default", "cd"), ("default", "e")]
    mixed = "servers: {together: 5}\nslots: {b/asr: {compute: {gpu_memory: 20}}, d/asr: {compute: {gpu_memory: 20}}}"
    # a pass over two slots that need 20 GiB each needs a larger GPU
    assert _groups(mixed) == [("default", "ace"), ("gpu-48", "bd")]
    device = "servers: {together: 5}\nslots: {b/asr: {train: {device: cpu}}}"
    assert _groups(device) == [("default", "acde"), ("default", "b")]
    large = "servers: {together: 5}\ndefaults: {asr: {compute: {gpu_memory: 50}}}"
    assert _groups(large) == [("gpu-141", "ab"), ("gpu-141", "cd"), ("gpu-80", "e")], "five would fit no queue"


class Run:
    """The steps of a run; those of some slots fail."""

    def __init__(self, **failing: Exception) -> None:
        self.failing = failing
        self.called: list[str] = []

    def _step(self, name: str, *slots: Slot) -> None:
        self.called.append(f"{name} {''.join(slot.site for slot in slots)}")
        for slot in slots:
            if error := self.failing.get(f"{name}_{slot.site}"):
                raise error

    def take_in(self, _: Workspace, slot: Slot) -> Any:
        self._step("take", slot)
        return DATASET

    def train(self, _: Workspace, tags: Mapping[Slot, str]) -> dict[Slot, Registered]:
        self._step("train", *tags)
        return dict.fromkeys(tags, REGISTERED)

    def train_one(self, _: Workspace, slot: Slot, tag: str) -> Registered:
        self._step("train", slot)
        return REGISTERED

    def judge(self, _: Workspace, slot: Slot, version: int) -> GateOutcome:
        self._step("gate", slot)
        outcome = "failed" if slot.site == "b" else "passed"
        return dataclasses.replace(JUDGED, verdict=dataclasses.replace(JUDGED.verdict, outcome=outcome))

    def start(self, workspace: Workspace) -> dict[str, str]:
        steps = GroupSteps(self.take_in, self.train, self.train_one, self.judge)
        return {run.slot[0]: run.state for run in retrain_together(workspace, SLOTS[:3], steps)}


def test_intakes_come_first_then_one_pass_then_the_gates(workspace: Workspace) -> None:
    run = Run()
    assert run.start(workspace) == {"a": "Completed", "b": REFUSED, "c": "Completed"}
    assert run.called == ["take a", "take b", "take c", "train abc", "gate a", "gate b", "gate c"]


def test_a_slot_whose_data_is_refused_does_not_stop_the_others(workspace: Workspace) -> None:
    run = Run(take_a=DataRefused("a/asr", ["noise"]))
    assert run.start(workspace) == {"a": "Failed", "b": REFUSED, "c": "Completed"}
    assert run.called[3:] == ["train bc", "gate b", "gate c"]


def test_a_slot_that_cannot_be_trained_does_not_stop_the_others(workspace: Workspace) -> None:
    run = Run(train_b=NotTrainable("data/b/asr/v1", ["no validation"]))
    assert run.start(workspace) == {"a": "Completed", "b": "Failed", "c": "Completed"}
    assert run.called[3:] == ["train abc", "train a", "train b", "train c", "gate a", "gate c"]


def test_a_slot_whose_gate_fails_does_not_stop_the_others(workspace: Workspace) -> None:
    run = Run(gate_a=DataRefused("a/asr", ["no golden set"]), take_c=DataRefused("c/asr", ["noise"]))
    assert run.start(workspace) == {"a": "Failed", "b": REFUSED, "c": "Failed"}


def test_a_server_that_is_gone_stops_the_run(workspace: Workspace) -> None:
    with pytest.raises(ServiceError, match="gone"):
        Run(train_b=ServiceError("MLflow is gone")).start(workspace)


def test_nothing_is_trained_if_no_slot_has_data(workspace: Workspace) -> None:
    run = Run(**{f"take_{site}": DataRefused(f"{site}/asr", ["noise"]) for site in "abc"})
    assert set(run.start(workspace).values()) == {"Failed"}
    assert run.called == ["take a", "take b", "take c"]
