from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elp_core.assemble import build, evaluate
from elp_core.config import (
    AugmentConfig,
    ElpConfig,
    EncoderAdapterConfig,
    LayerAdapterConfig,
    PromptConfig,
    TrainConfig,
    WarmConfig,
)
from elp_core.errors import CheckpointError, NoGradient, NonFiniteLoss, TrainingError
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from elp_core.training import Silent, run, train
from elp_core.types import Clip
from tests.support.clips import clip, tone, two_speakers

CLIPS, HELD_OUT = two_speakers(4), two_speakers(2, seed=1)
ADAPTER = ElpConfig(EncoderAdapterConfig(8), LayerAdapterConfig(16), PromptConfig(2), dropout=0.1)
CONFIG = TrainConfig(
    epochs=2, batch_seconds=2.0, min_steps=1, device="cpu", checkpoint_minutes=0.0, augment=AugmentConfig(variants=2)
)


def model(task: str = "asr", clips: list[Clip] = CLIPS, adapter: ElpConfig = ADAPTER) -> ElpModel:
    return build(tiny_backbone("hubert"), adapter, make_task(task, clips), seed=0)


class Killed(Silent):
    """Ends the process's work at a step, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        if step == self.at:
            raise KeyboardInterrupt


class Recorder(Silent):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.epochs: list[int] = []

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        self.steps.append((step, total))

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        self.epochs.append(epoch)


def tensors(trained: ElpModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trained.state().items()}


def assert_same(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("task", ["asr", "asv"])
def test_training_lowers_the_loss_and_leaves_the_backbone(task: str) -> None:
    trained, heard = model(task), Recorder()
    before = {name: value.clone() for name, value in trained.backbone.state_dict().items()}
    plain = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)
    config = replace(CONFIG, epochs=20, batch_seconds=1.0, lr_head=5e-3, patience=0, augment=plain)
    result = train(trained, CLIPS, HELD_OUT, config, heard)
    assert result.history[-1].loss < 0.5 * result.history[0].loss
    assert_same(before, trained.backbone.state_dict())
    assert heard.epochs == [entry.epoch for entry in result.history] == list(range(1, result.epochs + 1))
    assert [step for step, _ in heard.steps] == list(range(1, result.steps + 1))


def test_the_same_run_gives_the_same_bits() -> None:
    first, second = model(), model()
    train(first, CLIPS, HELD_OUT, CONFIG)
    torch.rand(7)
    train(second, CLIPS[::-1], HELD_OUT, CONFIG)
    assert_same(tensors(first), tensors(second))


def test_the_untrained_model_is_measured_if_that_is_cheap_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, measured, resumed = model("asv"), model("asv"), model("asv")
    untrained = evaluate(model("asv"), HELD_OUT, CONFIG.batch_seconds, "cpu").value
    assert train(usual, CLIPS, HELD_OUT, CONFIG).before is None
    monkeypatch.setattr(run, "BEFORE_SHARE", 1.0)
    assert train(measured, CLIPS, HELD_OUT, CONFIG).before == pytest.approx(untrained, abs=1e-6)
    assert_same(tensors(usual), tensors(measured))
    with pytest.raises(KeyboardInterrupt):
        train(resumed, CLIPS, HELD_OUT, CONFIG, Killed(3), tmp_path)
    assert train(resumed, CLIPS, HELD_OUT, CONFIG, None, tmp_path).before == pytest.approx(untrained, abs=1e-6)
    assert_same(tensors(usual), tensors(resumed))


@pytest.mark.parametrize(("epochs", "cheap"), [(16, False), (17, True)])
def test_one_validation_more_is_cheap_in_a_long_training(epochs: int, cheap: bool) -> None:
    clips, held_out = [clip(tone(1.0))] * 2, [clip(tone(1.0))]
    assert run._cheap_before(clips, held_out, epochs) is cheap


CHANGED = replace(
    CONFIG, augment=AugmentConfig(variants=2, conditions=1.0, families=("babble", "noise", "packet-loss"))
)
"""With simulated conditions, and other voices among them."""


@pytest.mark.parametrize(("at", "config"), [(1, CONFIG), (4, CONFIG), (6, CONFIG), (4, CHANGED)])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, at: int, config: TrainConfig) -> None:
    straight, killed, resumed = model(), model(), model()
    result = train(straight, CLIPS, HELD_OUT, config)
    with pytest.raises(KeyboardInterrupt):
        train(killed, CLIPS, HELD_OUT, config, Killed(at), tmp_path)
    again = train(resumed, CLIPS, HELD_OUT, config, checkpoint=tmp_path)
    assert_same(tensors(straight), tensors(resumed))
    assert [(e.loss, e.value) for e in again.history] == [(e.loss, e.value) for e in result.history]


def test_an_interrupted_run_goes_on_when_settings_without_effect_on_it_have_changed(tmp_path: Path) -> None:
    config = replace(CONFIG, init="nearest")
    with pytest.raises(KeyboardInterrupt):
        train(model(), CLIPS, HELD_OUT, config, Killed(3), tmp_path)
    heard = Recorder()
    changed = replace(config, init="fresh", checkpoint_minutes=7.0, warm=WarmConfig(epochs=3))
    train(model(), CLIPS, HELD_OUT, changed, heard, tmp_path)
    assert heard.steps[0][0] > 1


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, second, heard = model(), model(), Recorder()
    train(first, CLIPS, HELD_OUT, CONFIG, checkpoint=tmp_path)
    train(second, CLIPS, HELD_OUT, CONFIG, heard, tmp_path)
    assert heard.steps == []
    assert_same(tensors(first), tensors(second))


def test_the_best_epoch_is_left_in_the_model() -> None:
    from elp_core.assemble import evaluate

    trained = model()
    result = train(trained, CLIPS, HELD_OUT, replace(CONFIG, epochs=4))
    assert evaluate(trained, HELD_OUT, 32.0, "cpu").value == result.best_value == min(e.value for e in result.history)


def test_a_checkpoint_of_other_clips_is_refused(tmp_path: Path) -> None:
    train(model(), CLIPS, HELD_OUT, replace(CONFIG, epochs=1), checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another training"):
        train(model(), CLIPS[:-1], HELD_OUT, replace(CONFIG, epochs=1), checkpoint=tmp_path)


@pytest.mark.parametrize("adapter", [replace(ADAPTER, dropout=0.3), replace(ADAPTER, prompt=PromptConfig(2, "suffix"))])
def test_a_checkpoint_of_another_configuration_of_the_same_shapes_is_refused(
    adapter: ElpConfig, tmp_path: Path
) -> None:
    train(model(), CLIPS, HELD_OUT, replace(CONFIG, epochs=1), checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another training"):
        train(model(adapter=adapter), CLIPS, HELD_OUT, replace(CONFIG, epochs=1), checkpoint=tmp_path)


def test_a_checkpoint_judged_by_other_references_is_refused(tmp_path: Path) -> None:
    train(model(), CLIPS, HELD_OUT, replace(CONFIG, epochs=1), checkpoint=tmp_path)
    relabelled = [replace(clip, text="a b") for clip in HELD_OUT]
    with pytest.raises(CheckpointError, match="belongs to another training"):
        train(model(), CLIPS, relabelled, replace(CONFIG, epochs=1), checkpoint=tmp_path)


def test_a_loss_that_is_no_number_names_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = model()
    monkeypatch.setattr(type(broken.task), "loss", lambda *_: torch.tensor(torch.nan, requires_grad=True))
    with pytest.raises(NonFiniteLoss, match="the loss is nan at step 1") as caught:
        train(broken, CLIPS, HELD_OUT, CONFIG)
    assert set(caught.value.ids) <= {clip.id for clip in CLIPS}


def test_tensors_without_a_gradient_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = model()
    monkeypatch.setattr(type(idle.task), "loss", lambda _, head, *__: head.letters.weight.square().sum())
    with pytest.raises(NoGradient, match=r"e\.0\.down\.weight") as caught:
        train(idle, CLIPS, HELD_OUT, CONFIG)
    assert "head.letters.weight" not in caught.value.names


def test_clips_too_short_for_their_text_are_left_out_by_name(caplog: pytest.LogCaptureFixture) -> None:
    short = clip(tone(0.06), "seven", "anna")
    with caplog.at_level(logging.WARNING):
        result = train(model(), [*CLIPS, short], HELD_OUT, replace(CONFIG, epochs=1))
    assert result.excluded == (short.id,)
    assert "1 of 9 training clips" in caplog.text


@pytest.mark.parametrize(("clips", "held_out"), [([], HELD_OUT), (CLIPS, []), ([clip(tone(0.06), "seven")], HELD_OUT)])
def test_nothing_to_train_on(clips: list[Clip], held_out: list[Clip]) -> None:
    with pytest.raises(TrainingError, match="expected one or more of each"):
        train(model(), clips, held_out, CONFIG)


def test_patience_ends_a_run_that_has_learned_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from elp_core.metrics.scores import Evaluation
    from elp_core.training import parallel

    values = iter([1.0, 1.0, 1.0, 0.5, 0.6, 0.5, 0.5, 0.1])
    monkeypatch.setattr(parallel, "evaluate", lambda *_, **__: Evaluation("wer", next(values), None, {}))
    result = train(model(), CLIPS[:2], HELD_OUT, replace(CONFIG, epochs=8, patience=3))
    assert (result.epochs, result.best_epoch, result.best_value) == (7, 7, 0.5)
