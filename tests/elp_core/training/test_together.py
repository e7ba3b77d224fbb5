from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.config import (
    AugmentConfig,
    ElpConfig,
    EncoderAdapterConfig,
    LayerAdapterConfig,
    PromptConfig,
    TrainConfig,
    TrainingCondition,
)
from elp_core.data.store import TensorStore
from elp_core.errors import FingerprintMismatch, NonFiniteLoss, TrainingError
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from elp_core.training import Job, Silent, TrainResult, loop, train, train_together
from tests.support.clips import two_speakers

CONFIG = TrainConfig(
    epochs=3, batch_seconds=2.0, min_steps=1, device="cpu", checkpoint_minutes=0.0, augment=AugmentConfig(variants=2)
)
STEADY = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0)
E, L = EncoderAdapterConfig(8), LayerAdapterConfig(16)
DRY: tuple[TrainingCondition, ...] = ("babble", "noise", "packet-loss")
"""Simulated conditions that need no room."""
KINDS = [
    ("asr", ElpConfig(E, L, PromptConfig(2)), CONFIG),
    ("asv", ElpConfig(E, LayerAdapterConfig(12, (0, 1)), None), replace(CONFIG, seed=4, lr_encoder=3e-4, epochs=2)),
    (
        "asr",
        ElpConfig(EncoderAdapterConfig(4, (1,)), None, None),
        replace(CONFIG, batch_seconds=1.0, patience=1, augment=AugmentConfig(variants=2, conditions=1.0, families=DRY)),
    ),
    ("asv", ElpConfig(None, L, PromptConfig(3, "suffix"), False), replace(CONFIG, clip_norm=0.1)),
]
"""Tasks, parts, seeds, rates, batch sizes, conditions and lengths of run that differ; dropout is on."""


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread, or as many as the test says: optimizers run one after another, or side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(getattr(request, "param", 1))
    yield
    torch.set_num_threads(before)


one_and_two_threads = pytest.mark.parametrize("threads", [1, 2], indirect=True)
two_threads = pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2], indirect=True)


def jobs(backbone: Backbone, folder: Path | None = None) -> list[Job]:
    made = []
    for number, (task, adapter, config) in enumerate(KINDS):
        clips, held_out = two_speakers(3 + number, seed=number), two_speakers(2, seed=9)
        model = build(backbone, adapter, make_task(task, clips), config.seed)
        made.append(Job(model, clips, held_out, config, checkpoint=folder / str(number) if folder else None))
    return made


def alone(job: Job) -> TrainResult:
    return train(job.model, job.train_clips, job.validation_clips, job.config, job.observer, job.checkpoint)


def assert_alike(one: Job, other: Job, first: object, second: object) -> None:
    """Two trainings of one job that differ by no more than rounding does."""
    assert isinstance(first, TrainResult)
    assert isinstance(second, TrainResult)
    assert [round(e.loss, 4) for e in first.history] == pytest.approx([e.loss for e in second.history], rel=2e-3)
    assert (first.steps, first.epochs, first.best_epoch) == (second.steps, second.epochs, second.best_epoch)
    torch.testing.assert_close(one.model.state(), other.model.state(), atol=3e-4, rtol=0)


@one_and_two_threads
def test_each_adapter_is_the_one_trained_alone() -> None:
    backbone = tiny_backbone("wavlm")
    together, apart = jobs(backbone), jobs(backbone)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    results = train_together(together)
    for one, other, result in zip(together, apart, results, strict=True):
        assert_alike(one, other, result, alone(other))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@two_threads
def test_the_same_pass_gives_the_same_bits() -> None:
    backbone = tiny_backbone()
    first, second = jobs(backbone), jobs(backbone)
    train_together(first)
    torch.rand(3)
    train_together(second)
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(value, other.model.state()[name]) for name, value in one.model.state().items())


def test_jobs_on_the_same_clips_share_one_store_and_hear_each_clip_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, calls = tiny_backbone("wavlm"), Counter[str]()
    monkeypatch.setattr(loop, "TensorStore", lambda *given: calls.update(["store"]) or TensorStore(*given))
    backbone.feature_extractor.register_forward_hook(lambda *_: calls.update(["cnn"]))
    clips, held_out, steady = two_speakers(3), two_speakers(2, seed=9), replace(CONFIG, augment=STEADY)
    same = [
        Job(build(backbone, adapter, make_task(task, clips), 1), clips, held_out, steady, cache=tmp_path)
        for task, adapter, _ in (KINDS[0], KINDS[3])
    ]
    assert all(isinstance(end, TrainResult) for end in train_together(same))
    assert calls == {"store": 1, "cnn": len(clips) + len(held_out)}


class Killed(Silent):
    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt


def test_a_killed_pass_goes_on_from_the_checkpoints_even_alone(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    straight, killed, resumed = jobs(backbone), jobs(backbone, tmp_path), jobs(backbone, tmp_path)
    results = train_together(straight)
    with pytest.raises(KeyboardInterrupt):
        train_together([*killed[:3], replace(killed[3], observer=Killed())])
    again = [*train_together(resumed[:2]), alone(resumed[2]), alone(resumed[3])]
    for one, other, result, repeated in zip(straight, resumed, results, again, strict=True):
        assert_alike(one, other, result, repeated)


@two_threads
def test_one_job_that_fails_leaves_the_others_as_they_were() -> None:
    backbone = tiny_backbone()
    good, bad = jobs(backbone), jobs(backbone)
    broken = replace(bad[1], config=replace(bad[1].config, lr_head=1e30, clip_norm=1e30))
    empty = replace(bad[3], train_clips=[])
    results = train_together([bad[0], broken, bad[2], empty])
    assert isinstance(results[1], NonFiniteLoss)
    assert isinstance(results[3], TrainingError)
    for place in (0, 2):
        assert_alike(bad[place], good[place], results[place], alone(good[place]))


class Stopped(Silent):
    """Ends its training after the second step."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        self.steps = step
        if step == 2:
            raise TrainingError("not wanted any more")


def test_a_job_whose_observer_ends_it_leaves_the_others_as_they_were() -> None:
    backbone, stopped = tiny_backbone(), Stopped()
    good, other = jobs(backbone)[:2], jobs(backbone)[:2]
    ends = train_together([good[0], replace(good[1], observer=stopped)])
    assert stopped.steps == 2
    assert str(ends[1]) == "not wanted any more"
    assert_alike(good[0], other[0], ends[0], alone(other[0]))


def test_jobs_that_cannot_share_a_pass_are_refused() -> None:
    backbone = tiny_backbone()
    first, second = jobs(backbone)[:2]
    with pytest.raises(FingerprintMismatch, match="this one has"):
        train_together([first, jobs(tiny_backbone(seed=1))[1]])
    with pytest.raises(TrainingError, match=r"different devices or precisions: auto no, cpu no"):
        train_together([first, replace(second, config=replace(CONFIG, device="auto"))])
    with pytest.raises(TrainingError, match="two jobs train one model"):
        train_together([first, first])
    assert train_together([]) == []
