"""The task's answers for waveforms, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from elp_core.data.collate import collate
from elp_core.data.sampler import length_buckets
from elp_core.decoding import DecodeConfig
from elp_core.errors import AudioError
from elp_core.model import ElpModel
from elp_core.tasks import decode_with
from elp_core.types import SAMPLE_RATE, Seconds


@torch.inference_mode()
def predict(
    model: ElpModel,
    waveforms: Sequence[npt.NDArray[np.float32]],
    batch_seconds: Seconds = 32.0,
    decode: DecodeConfig | None = None,
) -> list[Any]:
    """One answer for each waveform, in their order: a transcript, a class, or a unit embedding float32 [E] (ASV).

    Args:
        model: used on the device it is on, in eval mode, and left in the mode it came in.
        waveforms: mono 16 kHz, [samples] each, real floating-point numbers with full scale at ±1.
        batch_seconds: audio in a batch after padding; it changes speed and memory, never an answer.
        decode: for ASR, how letters become transcripts; None keeps to the task's own way (greedy by default).

    Raises:
        ConfigError: for `decode` on a task without transcripts, or one that cannot be had here.
        AudioError: naming the first waveform that is no 1-D array of floating-point numbers, has values that are not
            finite, or is too short.
    """
    task = model.task if decode is None else decode_with(model.task, decode)
    for place, samples in enumerate(waveforms):
        check_waveform(place, samples, model.backbone.min_samples)
    device = next(model.backbone.parameters()).device
    was_training = model.training
    model.eval()
    answers: list[Any] = [None] * len(waveforms)
    try:
        durations = [len(samples) / SAMPLE_RATE for samples in waveforms]
        for batch in length_buckets(durations, batch_seconds, 0, 0, shuffle=False):
            padded, lengths = collate([np.asarray(waveforms[place], dtype=np.float32) for place in batch])
            frames, counts = model(padded.to(device), lengths.to(device))
            for place, answer in zip(batch, task.predict(model.head, frames, counts), strict=True):
                answers[place] = answer
    finally:
        model.train(was_training)
    return answers


def check_waveform(place: int, samples: npt.NDArray[np.float32], shortest: int) -> None:
    """Refuse what is no waveform [samples] of `shortest` samples or more; `place` is its place among them.

    Raises:
        AudioError: ``not_array``, ``not_mono``, ``not_float``, ``too_short`` or ``nan``.
    """
    if not isinstance(samples, np.ndarray):
        raise AudioError(
            "not_array", f"waveform {place} is a {type(samples).__name__}, expected a NumPy array [samples] of float32"
        )
    if samples.ndim != 1:
        raise AudioError("not_mono", f"waveform {place} has shape {samples.shape}, expected [samples] of one channel")
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            "not_float",
            f"waveform {place} holds {samples.dtype}, expected float32 with full scale at ±1; "
            "int16 samples are to be divided by 32768 first",
        )
    if len(samples) < shortest:
        raise AudioError(
            "too_short", f"waveform {place} has {len(samples)} samples; this backbone needs {shortest} or more"
        )
    if not np.isfinite(samples).all():
        raise AudioError("nan", f"waveform {place} has values that are NaN or infinite; look at how it was read")
