"""Trainings that start from other adapters, with real data and a real server: what they name, and what ends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from elp_core.testing import save_tiny
from pipelines.audit.adapter_records import find_records
from pipelines.audit.bill_of_materials import bill_of_materials
from pipelines.audit.data_index import open_index
from pipelines.audit.erasure_plan import plan_erasure
from pipelines.audit.server_records import ServerRecords
from pipelines.audit.verify import start_verification, verify_adapter
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.subject import Subject
from pipelines.errors import NotAParent
from pipelines.gating.gate import gate_version
from pipelines.local.settings import Settings
from pipelines.registry.adapter_version import Tags
from pipelines.registry.client import model_registry, server_api
from pipelines.registry.client.connection import connect
from pipelines.registry.policies import policy_digest
from pipelines.registry.slot import Slot
from pipelines.training.inputs import TrainingInputs, gather_inputs
from pipelines.training.register import Registered
from pipelines.training.train import train_adapters
from tests.support.workspaces import Site, own_slot

pytestmark = pytest.mark.integration
LENIENT = {"limit": 9.0, "margin": 5.0, "resamples": 100, "safety": {"max_slowdown": None, "interference_slots": 0}}
FIRST, SECOND, THIRD, FOURTH = (Slot(site, "asr") for site in ("warm-a", "warm-b", "warm-c", "warm-d"))


@dataclass
class Plant:
    """Sites with the same data for one task, their server, and the steps of a night."""

    site: Site
    uri: str
    cache: Path
    said: list[str] = field(default_factory=list)

    def settings(self, bottleneck: int = 5, **train: Any) -> Settings:
        mine: Mapping[str, Any] = self.site.settings.defaults["asr"]
        # a configuration of their own: the champions of other tests on the same server are no parents
        adapter = {**mine["adapter"], "encoder": {"bottleneck": bottleneck}}
        changed = {**mine, "adapter": adapter, "train": {**mine["train"], **train}, "gate": LENIENT}
        return replace(self.site.settings, defaults={"asr": changed})

    def train(self, slot: Slot, data: int = 1, **train: Any) -> Registered:
        where: dict[str, Any] = {"mlflow_uri": self.uri, "cache": self.cache, "log": self.said.append}
        return train_adapters(self.site.repository, {slot: slot.tag(data)}, self.settings(**train), **where)[slot]

    def inputs(self, slot: Slot, settings: Settings) -> TrainingInputs:
        """What a training of the slot would have; nothing is trained."""
        (found,) = gather_inputs(connect(self.uri), self.site.repository, {slot: slot.tag(1)}, settings, self.cache)
        return found

    def promote(self, slot: Slot, version: int) -> None:
        settings, where = self.settings(), {"mlflow_uri": self.uri, "log": self.said.append}
        outcome = gate_version(self.site.repository, slot, settings, version, cache=self.cache, **where)
        assert outcome.verdict.outcome == "passed", outcome.verdict.reasons
        policy = policy_digest(settings.for_slot(slot).gate)
        server_api.promote_version(slot, policy=policy, reason="it passed", **where)

    def learned(self, slot: Slot, version: int) -> list[tuple[str, str]]:
        (one,) = (one for one in server_api.registered_records(self.uri, str(slot)) if one.version == version)
        return [(parent.name, parent.role) for parent in one.learned]


@pytest.fixture(scope="module")
def nights(site: Site, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    for slot in (FIRST, SECOND, THIRD, FOURTH):
        own_slot(site, slot)
    return Plant(site, mlflow_uri, tmp_path_factory.mktemp("warm"))


def test_a_start_is_named_traced_and_ends_with_a_drop(nights: Plant, tmp_path: Path) -> None:
    plant = nights
    first = plant.train(FIRST, init="champion")
    assert "starting fresh, not from champion: warm-a/asr has no champion yet" in plant.said[0]
    # a fresh start is the same training, whatever the settings asked for first
    assert plant.train(FIRST).version == first.version
    plant.promote(FIRST, first.version)
    # without a delivery there is nothing to do, although there is a champion to start from by now
    assert plant.train(FIRST, init="champion").reused
    warm = plant.train(FIRST, init="champion", batch_seconds=4.0)
    assert (warm.reused, plant.learned(FIRST, warm.version)) == (False, [("warm-a/asr v1", "init")])
    assert plant.train(FIRST, init="average", batch_seconds=4.0).version == warm.version
    tags = model_registry.get(connect(plant.uri), FIRST, warm.version).tags
    assert tags[Tags.PARENTS] == "warm-a/asr v1 (init)"

    near = plant.train(SECOND, init="nearest")
    assert plant.learned(SECOND, near.version) == [("warm-a/asr v1", "init")]
    plant.promote(SECOND, near.version)
    _audited(plant, SECOND, near.version, "nearest", ("warm-a/asr v1", "init"))
    _averaged(plant, near.version, tmp_path)

    workspace, records = plant.site.workspace, ServerRecords(plant.uri)
    speaker = Subject(speaker="ann")
    drop_clips(workspace, FIRST, speaker)
    with open_index(workspace, plant.said.append) as db:
        plan = plan_erasure(db, records, speaker, FIRST)
    assert [one.slot for one in plan.slots] == [str(FIRST), str(SECOND), str(THIRD)]
    assert plan.slots[1].champion is not None
    assert plan.slots[1].champion.chain == f"v{near.version} ← warm-a/asr v1, which was trained on 8 of the clips"
    # the same data, and yet another training: what it learned from knows dropped clips
    clean = plant.train(SECOND, init="nearest")
    assert (clean.reused, plant.learned(SECOND, clean.version)) == (False, [])
    assert any("8 clips of its training data were dropped from warm-a/asr" in line for line in plant.said)
    assert plant.train(SECOND, init="nearest").version == clean.version
    with pytest.raises(NotAParent, match=r"train\.init is v1, and .* v1 cannot be started from: 8 clips"):
        plant.train(FIRST, 2, init="v1")


def test_without_a_delivery_the_champion_stays_whatever_else_was_trained_on_its_data(nights: Plant) -> None:
    plant = nights
    # another shape than that of the other sites, which are no parents then
    fresh = plant.train(FOURTH, bottleneck=3)
    warm = plant.train(FOURTH, bottleneck=3, init=f"v{fresh.version}")
    plant.promote(FOURTH, warm.version)
    assert plant.train(FOURTH, bottleneck=3, init="champion").version == warm.version
    # that of a fresh start is asked for by its name
    assert plant.train(FOURTH, bottleneck=3).version == fresh.version
    plant.promote(FOURTH, fresh.version)
    assert plant.train(FOURTH, bottleneck=3, init="champion").version == fresh.version


def _averaged(plant: Plant, second: int, folder: Path) -> None:
    """A third site starts from the mean of the two champions; of another backbone or shape, none is a parent."""
    wanted = plant.settings(init="average")
    inputs = plant.inputs(THIRD, wanted)
    states = [load_file(one.bundle / "adapter_model.safetensors") for one in inputs.start.parents]
    assert len(states) == 2
    for name, tensor in inputs.new_model().state().items():
        mean = torch.stack([state[name].double() for state in states]).mean(dim=0).to(tensor.dtype)
        assert torch.equal(tensor, mean), name
    made = plant.train(THIRD, init="average")
    parents = [("warm-a/asr v1", "average"), (f"warm-b/asr v{second}", "average")]
    assert plant.learned(THIRD, made.version) == parents
    _audited(plant, THIRD, made.version, "average", *parents)

    save_tiny(folder / "other", seed=7)
    elsewhere = replace(wanted, backbone=str(folder / "other"))
    narrow = plant.settings(bottleneck=6, init="average")
    for settings, why in (
        (elsewhere, r"its backbone is sha256:\w+…, here sha256:\w+…"),
        (narrow, r"its adapter configuration differs: encoder\.bottleneck is 5, here 6"),
    ):
        start = plant.inputs(THIRD, settings).start
        assert start.parents == ()
        assert re.search(rf"warm-a/asr v1: {why}; warm-b/asr v{second}: {why}", start.record.why), start.record.why
        mine: Any = settings.defaults["asr"]
        named = replace(settings, defaults={"asr": {**mine, "train": {**mine["train"], "init": "v1"}}})
        with pytest.raises(NotAParent, match=rf"warm-c/asr v1 cannot be started from: {why}"):
            plant.inputs(THIRD, named)


def _audited(plant: Plant, slot: Slot, version: int, init: str, *parents: tuple[str, str]) -> None:
    """The tree, its verification and the bill of materials name the parents."""
    workspace, records = plant.site.workspace, ServerRecords(plant.uri)
    subject = find_records(records, slot, version)
    tools = start_verification(workspace, records, plant.said.append)
    with open_index(workspace, plant.said.append) as db:
        tree = verify_adapter(db, tools, subject)
    (branch,) = (one for one in tree.children if one.name == "learned from")
    assert [(one.name, one.value, one.state) for one in branch.children if one.name != "candidate"] == [
        ("train.init", init, ""),
        *((role, name, "") for name, role in parents),
        *(("statement of", name, "verified") for name, _ in parents),
    ]
    bill = bill_of_materials(subject)
    for name, role in parents:
        assert f'"elp:role",\n          "value": "{role}"' in bill
        assert name.partition(" ")[0] in bill
    # what the parents learned from is in the trace, too
    assert ("init", "warm-a/asr v1") in {(one.name, one.value) for one in branch.walk()}
