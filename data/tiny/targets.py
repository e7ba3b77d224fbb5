"""Targets of later iterations: k-means classes of a layer of the model before (Hsu et al. 2021, section III-D)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tiny.clusters import assign, fit_centres
from tiny.corpus import Corpus
from tiny.network import MaskedPredictor
from tiny.settings import HOP, WINDOW, IterationSettings

_CHUNK = 160
"""Frames processed at once, 3.2 s: as long as the longest training window."""
_BATCH = 20

Frames = NDArray[np.float32]


def by_voice(corpus: Corpus) -> NDArray[np.int64]:
    """Order all frames so that clips of one voice follow each other, as in training; `[total frames]`."""
    order = np.argsort(corpus.speaker, kind="stable")
    starts, counts = corpus.offset[order] // HOP, corpus.length[order] // HOP
    ends = np.cumsum(counts)
    return np.asarray(np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts))


def layer_frames(
    model: MaskedPredictor, corpus: Corpus, layer: int, chunks: NDArray[np.int64], dtype: torch.dtype
) -> Iterator[tuple[NDArray[np.int64], Frames]]:
    """Yield frame numbers and the output of `layer` for them, chunk by chunk, of clean audio at an RMS of 0.1.

    Args:
        model: The network, in eval mode.
        corpus: The audio.
        layer: 1 is the first encoder layer.
        chunks: Frame numbers `[chunks, frames]`.
        dtype: Precision of the matrix products.
    """
    audio = corpus.audio.reshape(-1, HOP)
    device = next(model.parameters()).device
    for start in range(0, len(chunks), _BATCH):
        frames = chunks[start : start + _BATCH]
        waves = audio[frames].reshape(len(frames), -1).astype(np.float32)
        waves *= 0.1 / np.sqrt((waves**2).mean(axis=1, keepdims=True) + 1e-3)
        tensor = torch.from_numpy(np.pad(waves, ((0, 0), (0, WINDOW - HOP)))).to(device)
        with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is torch.bfloat16):
            states = model.hidden_states(tensor, layers=layer)[layer].float().cpu().numpy()
        yield frames.reshape(-1), states.reshape(-1, states.shape[-1])


def cluster_layer(
    model: MaskedPredictor, corpus: Corpus, settings: IterationSettings, seed: int, dtype: torch.dtype
) -> NDArray[np.uint16]:
    """Fit k-means on some chunks and label every frame of the corpus; uint16 `[total frames]`."""
    model.eval()
    order = by_voice(corpus)
    whole = len(order) // _CHUNK * _CHUNK
    chunks = np.concatenate([order[:whole], order[-_CHUNK:]]).reshape(-1, _CHUNK)
    some = np.random.default_rng(seed).permutation(len(chunks))[: -(-settings.fit_frames // _CHUNK)]
    sample = np.concatenate([f for _, f in layer_frames(model, corpus, settings.target_layer, chunks[some], dtype)])
    mean, scale = sample.mean(axis=0), sample.std(axis=0) + 1e-5
    centres = fit_centres((sample - mean) / scale, settings.classes, settings.fit_frames, seed)
    labels = np.zeros(len(order), dtype=np.uint16)
    for frames, features in layer_frames(model, corpus, settings.target_layer, chunks, dtype):
        labels[frames] = assign((features - mean) / scale, centres)
    return labels
