import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny.corpus import Corpus
from tiny.network import MaskedPredictor, configure
from tiny.settings import Recipe, RecipeError
from tiny.targets import by_voice, cluster_layer
from tiny.train import Trainer, loss_of, run_iteration
from tiny.windows import WindowSource, sources


@pytest.fixture
def noise(corpus: Corpus) -> Corpus:
    audio = np.random.default_rng(0).integers(-9000, 9000, len(corpus.audio)).astype(np.int16)
    return dataclasses.replace(corpus, audio=audio)


def run(recipe: Recipe, corpus: Corpus, path: Path, steps: int) -> Trainer:
    torch.manual_seed(0)
    labels = np.arange(len(corpus.audio) // 320, dtype=np.uint16) % 4
    recipe = dataclasses.replace(recipe, iterations=(dataclasses.replace(recipe.iterations[0], steps=steps),))
    trainer = Trainer(recipe, 1, MaskedPredictor(configure(recipe.network), 4))
    run_iteration(trainer, *sources(corpus, labels), path, lambda _: None)
    return trainer


def dies_at(number: int) -> Callable[[Trainer, WindowSource, float], tuple[float, float]]:
    step = Trainer.step

    def killed(trainer: Trainer, source: WindowSource, done: float) -> tuple[float, float]:
        if trainer.position.step == number:
            raise KeyboardInterrupt("killed")
        return step(trainer, source, done)

    return killed


def test_the_loss_weighs_heard_frames_as_asked() -> None:
    logits, targets = torch.randn(2, 6, 3), torch.randint(3, (2, 6))
    mask = torch.tensor([[True, True, False, False, False, False], [True, False, False, False, False, True]])
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(2, 6)
    expected = each[mask].mean() + 0.25 * each[~mask].mean()
    torch.testing.assert_close(loss_of(logits, targets, mask, 0.25), expected)


def test_a_killed_iteration_resumes_to_the_same_weights(
    recipe: Recipe, noise: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, checkpoint_minutes=0.0))
    whole = run(recipe, noise, tmp_path / "a.safetensors", 4)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dies_at(2))
        with pytest.raises(KeyboardInterrupt, match="killed"):
            run(recipe, noise, tmp_path / "b.safetensors", 4)
    resumed = run(recipe, noise, tmp_path / "b.safetensors", 4)
    assert whole.position.step == resumed.position.step == 4
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_is_no_number_stops_the_run(recipe: Recipe, noise: Corpus, tmp_path: Path) -> None:
    broken = dataclasses.replace(recipe.training, front_end_rate=float("nan"))
    with pytest.raises(RecipeError, match="the loss is nan at step 0"):
        run(dataclasses.replace(recipe, training=broken), noise, tmp_path / "c.safetensors", 4)


def test_frames_of_a_voice_follow_each_other(corpus: Corpus) -> None:
    order = by_voice(corpus)
    voice = np.repeat(corpus.speaker, corpus.length // 320)
    assert sorted(order) == list(range(len(voice)))
    assert np.diff(voice[order]).tolist().count(1) == 1


def test_every_frame_gets_a_class_of_the_layer(recipe: Recipe, noise: Corpus) -> None:
    model = MaskedPredictor(configure(recipe.network), 4)
    labels = cluster_layer(model, noise, recipe.iterations[1], 0, torch.float32)
    assert labels.shape == (len(noise.audio) // 320,)
    assert set(labels) <= set(range(5))
    assert len(set(labels)) > 1
