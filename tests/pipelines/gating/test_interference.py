from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.inference import AdapterHost, Request
from elp_core.methods.config import WeightedSumConfig
from elp_core.tasks import Task, make_task
from elp_core.testing import tiny_backbone
from pipelines.gating import interference
from pipelines.gating.interference import OtherChampion, check_interference, compare_on_host
from pipelines.gating.measure import measure_speed, memory_digest
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.policies import SafetyPolicy
from pipelines.registry.slot import Slot
from tests.support.clips import two_speakers
from tests.support.hosting import WAVEFORMS, make_model


def guests(backbone: Backbone, count: int = 3) -> list[OtherChampion]:
    """Champions of as many slots, of different tasks and shapes."""
    versions = [
        AdapterVersion(Slot(f"site-{number}", "asr"), 1, "", "", "", {Tags.BUNDLE: f"sha256:{number}"})
        for number in range(count)
    ]
    return [
        OtherChampion(version, make_model(backbone, number), tuple(WAVEFORMS[:2]))
        for number, version in enumerate(versions)
    ]


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_challenger_of_any_shape_leaves_the_others_answers_bit_identical(family: str, number: int) -> None:
    backbone = tiny_backbone(family)
    before = memory_digest(backbone)
    compared, repeatable = compare_on_host(guests(backbone), make_model(backbone, number), backbone)
    assert repeatable
    assert [(found.slot, found.bundle, found.clips) for found in compared] == [
        (f"site-{n}/asr", f"sha256:{n}", 2) for n in range(3)
    ]
    assert all(found.unchanged for found in compared)
    assert len({found.before for found in compared}) == 3
    assert memory_digest(backbone) == before


class Leaking(AdapterHost):
    """A host whose last adapter changes the first answer."""

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        answers = super().answer(requests)
        if any(request.adapter == "" for request in requests):
            answers[0] = answers[0] + answers[-1]
        return answers


def test_an_answer_that_the_challenger_changes_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.gating.interference.AdapterHost", Leaking)
    backbone = tiny_backbone("hubert")
    compared, repeatable = compare_on_host(guests(backbone), make_model(backbone, 5), backbone)
    assert repeatable
    assert [found.unchanged for found in compared] == [False, True, True]


class Tampering:
    """A task that changes the shared backbone with each answer."""

    def __init__(self, task: Task, backbone: Backbone) -> None:
        self.task, self.backbone = task, backbone

    def build_head(self, dim: int) -> torch.nn.Module:
        return self.task.build_head(dim)

    def predict(self, *arguments: Any) -> list[Any]:
        next(self.backbone.layers[0].parameters()).mul_(1.001)
        return self.task.predict(*arguments)


def test_an_adapter_that_alters_the_backbone_is_detected() -> None:
    backbone = tiny_backbone("hubert")
    challenger, before = make_model(backbone, 5), memory_digest(backbone)
    challenger.task = Tampering(challenger.task, backbone)
    compared, _ = compare_on_host(guests(backbone, 1), challenger, backbone)
    assert memory_digest(backbone) != before
    assert compared[0].before != compared[0].after


def test_a_host_with_non_deterministic_kernels_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    plain = AdapterHost.answer
    monkeypatch.setattr(AdapterHost, "answer", lambda host, asked: [a + noise.bytes(1) for a in plain(host, asked)])
    backbone = tiny_backbone("hubert")
    assert not compare_on_host(guests(backbone, 1), make_model(backbone, 5), backbone)[1]


def test_speed_is_measured_against_the_backbone_alone() -> None:
    model = make_model(tiny_backbone("hubert"), 2)
    clips = two_speakers()
    speed = measure_speed(model, clips, rounds=2)
    assert speed.seconds == pytest.approx(sum(clip.duration for clip in clips), abs=0.01)
    assert (model.attached, speed.device) == (True, "cpu")
    assert speed.backbone > 0
    assert speed.slowdown == speed.adapter / speed.backbone > 0


def test_a_long_golden_set_is_not_timed_whole() -> None:
    clips = [replace(clip, duration=12.0) for clip in two_speakers()]
    own = sum(clip.duration for clip in two_speakers()[:1])
    assert measure_speed(make_model(tiny_backbone("hubert"), 2), clips, 1).seconds == pytest.approx(own, abs=0.01)


def test_a_challenger_of_another_method_shares_no_host_and_every_slot_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = tiny_backbone("hubert")
    other = build(backbone, WeightedSumConfig(), make_task("asv", two_speakers(2)), seed=0)
    (guest,) = guests(backbone, 1)
    serving = replace(guest.version, tags={Tags.FINGERPRINT: backbone.fingerprint})
    challenger = replace(guest.version, slot=Slot("site-9", "asv"))
    monkeypatch.setattr(interference.model_registry, "list_slots", lambda _: [guest.version.slot, challenger.slot])
    monkeypatch.setattr(interference.model_registry, "find_champion", lambda *_: serving)
    monkeypatch.setattr(interference, "load_golden", lambda *_: pytest.fail("data was downloaded for nothing"))
    monkeypatch.setattr(interference, "download_bundle", lambda *_: None)
    monkeypatch.setattr(interference, "load_bundle", lambda *_: other)
    found = check_interference(None, challenger, backbone, SafetyPolicy(), "", None, print)
    assert found.compared == ()
    assert found.skipped == ("site-0/asr v1: a host takes ELP adapters, not WeightedSumConfig",)
