import numpy as np
import pytest

from tiny.corpus import Corpus
from tiny.schedule import progress, rate_factor
from tiny.settings import HOP, Recipe
from tiny.windows import draw_batch, draw_mask, sources


def test_targets_belong_to_the_audio_beside_them(corpus: Corpus, labels: np.ndarray, recipe: Recipe) -> None:
    train, _ = sources(corpus, labels)
    batch = draw_batch(train, None, recipe.batches, recipe.training, np.random.default_rng(0))
    heard = np.rint(batch.waves[:, ::HOP] * 32768).astype(int)
    assert np.array_equal(heard[:, : batch.targets.shape[1]], batch.targets)
    assert batch.targets.shape[1] == heard.shape[1] - 1


def test_a_window_holds_one_voice(corpus: Corpus, labels: np.ndarray) -> None:
    train, _ = sources(corpus, labels)
    voice = np.repeat(corpus.speaker, corpus.length // HOP)
    for seed in range(20):
        _, targets = train.window(80, np.random.default_rng(seed))
        assert len(set(voice[targets])) == 1


def test_held_out_clips_are_never_trained_on(corpus: Corpus, labels: np.ndarray) -> None:
    held_out = np.repeat(corpus.held_out, corpus.length // HOP)
    for source, expected in zip(sources(corpus, labels), (False, True), strict=True):
        drawn = np.concatenate([source.window(40, np.random.default_rng(s))[1] for s in range(30)])
        assert set(held_out[drawn]) == {expected}


@pytest.mark.parametrize("frames", [3, 39, 159])
def test_masks_are_spans_of_the_asked_length(frames: int, recipe: Recipe) -> None:
    mask = draw_mask(50, frames, recipe.training, np.random.default_rng(0))
    assert mask.any(axis=1).all()
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    assert lengths.min() >= min(recipe.training.mask_span, frames)


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    rates = [rate_factor(done, 0.1) for done in (0.0, 0.05, 0.1, 0.5, 1.0)]
    assert rates == pytest.approx([0.001, 0.5, 1.0, 0.5 + 0.495 * np.cos(np.pi * 0.4 / 0.9) + 0.005, 0.01], abs=1e-3)


def test_progress_follows_whichever_is_further() -> None:
    assert progress(10, 100, 3.0, 10.0) == pytest.approx(0.3)
    assert progress(50, 100, 3.0, 10.0) == pytest.approx(0.5)
    assert progress(200, 100, 3.0, 10.0) == 1.0
