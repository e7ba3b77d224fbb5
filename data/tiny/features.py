"""Stage 2: targets of the first iteration, k-means classes of MFCCs (Hsu et al. 2021, section IV-B).

13 cepstra of 25 ms windows every 20 ms, frame `i` of a clip at the samples of frame `i` of the CNN, each frame
stacked with two neighbours to both sides. They keep their natural scale: whitened ones cluster by noise in the high
cepstra (2.0 instead of 2.5 bits about the spoken digit). Each voice's mean is removed. The mel bands end at 3.8 kHz:
half of the corpus is telephone speech, and the classes should distinguish sounds, not lines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, rfft

from tiny.clusters import assign, fit_centres
from tiny.corpus import Corpus, open_corpus
from tiny.files import write_array, write_json
from tiny.settings import HOP, SAMPLE_RATE, WINDOW, Recipe, read_recipe

Frames = NDArray[np.float32]

_FFT = 512
_BANDS = 24
_CEPSTRA = 13
_REACH = 2
_LOW, _HIGH = 80.0, 3800.0


def _mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0))


def mel_filters() -> Frames:
    """Return triangular filters `[24, 257]` between 80 and 3,800 Hz, evenly spaced in mel."""
    edges = 700.0 * (10 ** (np.linspace(_mel(_LOW), _mel(_HIGH), _BANDS + 2) / 2595.0) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


def stack(frames: Frames, reach: int = _REACH) -> Frames:
    """Join each frame with its `reach` neighbours on both sides: `[frames, n]` to `[frames, n * (2 * reach + 1)]`."""
    padded = np.pad(frames, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[k : k + len(frames)] for k in range(2 * reach + 1)], axis=1)


def mfcc(wave: NDArray[np.int16], filters: Frames) -> Frames:
    """Compute `[frames, 65]` of int16 `[samples]`, one row for each 320 samples; the first cepstrum is halved."""
    signal = np.pad(wave.astype(np.float32) / 32768, (0, WINDOW - HOP))
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    pieces = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP] * np.hamming(WINDOW).astype(np.float32)
    power = np.abs(rfft(pieces, _FFT)) ** 2
    cepstra = dct(np.log(power @ filters.T + 1e-5), norm="ortho")[:, :_CEPSTRA].astype(np.float32)
    cepstra[:, 0] *= 0.5
    return stack(cepstra)


def centre_by_voice(features: Frames, voice: NDArray[np.int64]) -> None:
    """Remove each voice's mean, in place; `voice` is `[frames]`."""
    count = np.bincount(voice).clip(1)
    for column in range(features.shape[1]):
        mean = np.bincount(voice, features[:, column]) / count
        features[:, column] -= mean[voice].astype(np.float32)


def extract(corpus: Corpus) -> Frames:
    """Return stacked MFCCs of the whole corpus, `[total frames, 65]`, centred per voice."""
    filters = mel_filters()
    features = np.empty((len(corpus.audio) // HOP, _CEPSTRA * (2 * _REACH + 1)), dtype=np.float32)
    for offset, length in zip(corpus.offset, corpus.length, strict=True):
        features[offset // HOP : (offset + length) // HOP] = mfcc(corpus.audio[offset : offset + length], filters)
    centre_by_voice(features, np.repeat(corpus.speaker, corpus.length // HOP))
    return features


def build(recipe: Recipe) -> dict[str, Any]:
    """Run the stage: write `labels.npy`, uint16 `[total frames]`, and a summary."""
    features = extract(open_corpus(recipe.data / "corpus"))
    centres = fit_centres(features, recipe.features.classes, recipe.features.fit_frames, recipe.seed)
    labels = assign(features, centres)
    folder: Path = recipe.data / "features"
    write_array(folder / "labels.npy", labels)
    used = np.bincount(labels, minlength=len(centres)) / len(labels)
    entropy = float(-(used[used > 0] * np.log2(used[used > 0])).sum())
    summary = {"frames": len(labels), "classes": len(centres), "entropy_bits": round(entropy, 3)}
    write_json(folder / "features.json", summary)
    return summary


if __name__ == "__main__":
    print(json.dumps(build(read_recipe()), indent=2))
