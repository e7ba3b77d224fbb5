"""A recipe and a corpus small enough for tests: two voices, a few seconds, a network of 20,000 weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tiny.corpus import Corpus
from tiny.settings import (
    HOP,
    BatchSettings,
    CorpusSettings,
    FeatureSettings,
    IterationSettings,
    NetworkSettings,
    Recipe,
    TrainingSettings,
)

CLASSES = 4


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(
        seed=1,
        data=tmp_path / "data",
        export=tmp_path / "export",
        corpus=CorpusSettings((0.88, 1.0), 0.05, 0.2, 0.1, ("f1",), 10),
        features=FeatureSettings(CLASSES, 500),
        network=NetworkSettings(
            16, 2, 2, 32, (8, 8, 8, 8, 8, 8, 8), (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 8, 4, 0.05
        ),
        batches=BatchSettings(1.6, (0.4, 0.8), 2.0, 0.4, 0.2, 0.2, (-2.0, 20.0)),
        training=TrainingSettings(3, 0.01, 0.1, 4, 0.5, 0.003, 0.01, 0.1, 5.0, "float32", 1000.0),
        iterations=(IterationSettings(4, 60.0), IterationSettings(3, 60.0, 1, 5, 200)),
    )


@pytest.fixture
def corpus() -> Corpus:
    """12 clips of 10 to 32 frames by two voices; every sample of frame `i` has the value `i`."""
    frames = np.arange(10, 34, 2)
    audio = np.repeat(np.arange(frames.sum(), dtype=np.int16), HOP)
    voice = np.arange(12) % 2
    return Corpus(
        audio=audio,
        offset=(np.cumsum(frames) - frames) * HOP,
        length=frames * HOP,
        speaker=voice,
        speed=np.ones(12),
        held_out=np.arange(12) >= 10,
    )


@pytest.fixture
def labels(corpus: Corpus) -> np.ndarray:
    """The class of frame `i` is `i`, so that a window's audio tells its targets."""
    return np.arange(len(corpus.audio) // HOP, dtype=np.uint16)
