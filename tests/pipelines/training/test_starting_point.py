"""What a start makes of its candidates: the parents, the key, the rates, and when it is fresh after all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from elp_core.config import TrainConfig, WarmConfig
from pipelines.registry.lineage import LearnedFrom
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.training import starting_point
from pipelines.training.parent_data import LearningData
from pipelines.training.start_candidates import OpenedCandidate, open_candidate
from pipelines.training.starting_point import StartingPoint, StartParent, find_start

SLOT = Slot("new", "sic")


def _opened(site: str, deep: int = 1, seed: int = 0, head: str = "") -> OpenedCandidate:
    version: Any = SimpleNamespace(slot=Slot(site, "sic"), version=3, bundle_digest=f"sha256:{site}", name=site)
    return OpenedCandidate(version, Path(site), head, deep, seed)


def _start(monkeypatch: pytest.MonkeyPatch, init: str, *opened: OpenedCandidate) -> StartingPoint:
    monkeypatch.setattr(starting_point, "task_champions", lambda _: [one.version for one in opened])
    monkeypatch.setattr(starting_point, "open_candidates", lambda *_: (list(opened), []))
    request: Any = SimpleNamespace(slot=SLOT, task=None, train=TrainConfig(init=init, warm=WarmConfig(generations=2)))
    return find_start(request, "k")


def test_a_mean_takes_equal_shares_of_those_with_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elp_core.bundle.verify_bundle", lambda _: SimpleNamespace(task={}))
    monkeypatch.setattr("elp_core.tasks.task_from_json", lambda _: None)
    monkeypatch.setattr("elp_core.training.head_obstacle", lambda *_, **__: "")
    found = _start(monkeypatch, "average", _opened("a"), _opened("b"), _opened("c", seed=7))
    assert [(one.learned.slot, one.learned.role, one.learned.weight) for one in found.parents] == [
        ("a/sic", "average", 0.5),
        ("b/sic", "average", 0.5),
    ]
    assert [(one.slot, one.why) for one in found.record.candidates] == [("c/sic", "its seed is 7, here 0")]


def test_a_mean_that_comes_down_to_one_parent_keeps_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elp_core.bundle.verify_bundle", lambda _: SimpleNamespace(task={}))
    monkeypatch.setattr("elp_core.tasks.task_from_json", lambda _: None)
    monkeypatch.setattr("elp_core.training.head_obstacle", lambda *_, **__: "its speakers differ")
    found = _start(monkeypatch, "average", _opened("a"), _opened("b", seed=7))
    assert ([one.learned.role for one in found.parents], found.record.head) == (["init"], "")


def test_an_adapter_without_a_readable_lineage_is_not_taken_for_one_of_an_old_server() -> None:
    version: Any = SimpleNamespace(fingerprint="f", bundle_digest="b")
    record = RegisteredAdapter("a/sic", 3, "b", "", "", "")
    place = LearningData("", Path(), SLOT, frozenset(), frozenset())
    request: Any = SimpleNamespace(backbone=SimpleNamespace(fingerprint="f"), known={"b": record}, place=place)
    assert "its lineage statement is not on the server" in str(open_candidate(request, version))
    request.known["b"] = replace(record, dataset="data/a/sic/v1")
    assert "update it to this release first" in str(open_candidate(request, version))


def test_after_its_generations_the_next_start_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    last, next_one = (_start(monkeypatch, "average", _opened("a", deep)) for deep in (2, 3))
    assert (last.record.generation, len(last.parents)) == (2, 1)
    assert (next_one.parents, next_one.keyed) == ((), {})
    assert next_one.record.why == "after 2 trainings that started from one another, the next starts fresh"


def test_a_start_from_others_takes_fewer_epochs_and_smaller_steps_but_a_new_head_does_not() -> None:
    config = TrainConfig(epochs=20, warm=WarmConfig(epochs=4, rate=0.5))
    parents = (StartParent(LearnedFrom("sha256:a", "a/sic", 1, "init"), Path()),)
    warm = StartingPoint(parents=parents)
    assert (warm.rates(config).epochs, warm.rates(config).lr_head) == (4, config.lr_head / 2)
    new_head = StartingPoint(cast(Any, SimpleNamespace(head="its classes differ")), parents)
    assert (new_head.rates(config).lr_head, new_head.rates(config).lr_layer) == (config.lr_head, config.lr_layer / 2)
    assert warm.keyed != new_head.keyed
    assert StartingPoint().rates(config) == config


def test_a_start_from_another_site_takes_all_epochs_and_one_from_the_slot_itself_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainConfig(epochs=20, warm=WarmConfig(epochs=4, rate=0.5))
    monkeypatch.setattr("pipelines.training.nearest.answered_best", lambda _, opened: (opened, []))
    for init, site, epochs in (("nearest", "old", 20), ("nearest", SLOT.site, 4), ("average", "old", 20)):
        rates = _start(monkeypatch, init, _opened(site)).rates(config)
        assert (rates.epochs, rates.lr_layer) == (epochs, config.lr_layer / 2), (init, site)
