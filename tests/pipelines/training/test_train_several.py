from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elp_core.training
from elp_core.errors import ElpError, TrainingError
from pipelines.errors import RunCancelled
from pipelines.registry.client.connection import connect
from pipelines.training.register import Registered
from pipelines.training.train import Check, train_adapters, train_each
from tests.support.workspaces import Site

if TYPE_CHECKING:
    from pipelines.local.settings import Settings
    from pipelines.registry.slot import Slot

pytestmark = pytest.mark.integration


class Trainer:
    """Calls the step on the site's two slots; notes how many were trained in each pass."""

    def __init__(self, site: Site, mlflow_uri: str, cache: Path, patch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.options: dict[str, Any] = {"mlflow_uri": mlflow_uri, "cache": cache}
        self.passes: list[int] = []
        self.logged: list[str] = []
        together = elp_core.training.train_together
        patch.setattr(elp_core.training, "train_together", lambda jobs: self.passes.append(len(jobs)) or together(jobs))

    def each(self, settings: Settings, check: Check) -> dict[Slot, Registered | ElpError]:
        tags = {slot: slot.tag(1) for slot in (self.site.asr, self.site.asv)}
        return train_each(self.site.repository, tags, settings, check=check, **self.options)

    def __call__(self, settings: Settings) -> dict[Slot, Registered]:
        tags = {slot: slot.tag(1) for slot in (self.site.asr, self.site.asv)}
        return train_adapters(self.site.repository, tags, settings, log=self.logged.append, **self.options)

    def one(self, slot: Slot, settings: Settings) -> Registered:
        return train_adapters(self.site.repository, {slot: slot.tag(1)}, settings, **self.options)[slot]


@pytest.fixture
def train(site: Site, mlflow_uri: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    return Trainer(site, mlflow_uri, cache, monkeypatch)


def changed(site: Site, **by_task: dict[str, Any]) -> Settings:
    """The site's settings with other training values by task."""
    defaults = dict(site.settings.defaults)
    for task, values in by_task.items():
        defaults[task] = {**defaults[task], "train": {**defaults[task]["train"], **values}}
    return replace(site.settings, defaults=defaults)


def test_slots_are_trained_in_one_pass_and_registered_apart(train: Trainer, site: Site, cache: Path) -> None:
    settings = changed(site, asr={"seed": 21}, asv={"seed": 21})
    done = train(settings)
    assert train.passes == [2]
    assert [one.name for one in done.values()] == ["elp.plant-a.asr", "elp.plant-a.asv"]
    lineage = json.loads((cache / "bundles" / done[site.asr].key / "bundle" / "lineage.json").read_text())
    assert lineage["training"]["beside"] == ["plant-a/asv"]
    again = train(settings)
    assert train.passes == [2]
    assert {slot: (one.version, one.reused) for slot, one in again.items()} == {
        slot: (one.version, True) for slot, one in done.items()
    }
    assert any(line.startswith("plant-a/asv: epoch 2, step ") for line in train.logged)


def test_a_slot_that_is_trained_already_is_left_out(train: Trainer, site: Site) -> None:
    settings = changed(site, asr={"seed": 22}, asv={"seed": 22})
    first = train.one(site.asr, settings)
    done = train(settings)
    assert train.passes == [1, 1]
    assert (done[site.asr].version, done[site.asr].reused) == (first.version, True)
    assert not done[site.asv].reused


def test_a_slot_that_fails_costs_the_others_nothing(train: Trainer, site: Site, mlflow_uri: str) -> None:
    settings = changed(site, asr={"seed": 23, "lr_head": 1e30, "clip_norm": 1e30}, asv={"seed": 23})
    with pytest.raises(TrainingError, match=r"1 slot could not be trained.*\nplant-a/asr: the loss is"):
        train(settings)
    client = connect(mlflow_uri)
    experiment = client.get_experiment_by_name("elp.plant-a.asr").experiment_id
    assert client.search_runs([experiment], "tags.`elp.error` LIKE 'NonFiniteLoss%'")
    assert train.one(site.asv, settings).reused
    assert train.passes == [2]


def test_a_slot_that_is_cancelled_is_not_trained_on_and_the_others_are(
    train: Trainer, site: Site, mlflow_uri: str
) -> None:
    checked: list[Slot] = []
    cancelled = RunCancelled("cancelled by a person")

    def check(slot: Slot) -> None:
        checked.append(slot)
        if slot == site.asr and checked.count(slot) == 2:
            raise cancelled

    ends = train.each(changed(site, asr={"seed": 25}, asv={"seed": 25}), check)
    assert ends[site.asr] is cancelled
    assert isinstance(ends[site.asv], Registered)
    assert checked.count(site.asr) == 2 < checked.count(site.asv)
    client = connect(mlflow_uri)
    experiment = client.get_experiment_by_name("elp.plant-a.asr").experiment_id
    (run,) = client.search_runs([experiment], "tags.`elp.error` LIKE 'RunCancelled%'")
    assert run.info.status == "KILLED"


def test_another_device_has_a_pass_of_its_own(train: Trainer, site: Site) -> None:
    train(changed(site, asr={"seed": 24}, asv={"seed": 24, "device": "auto"}))
    assert train.passes == [1, 1]
