"""The task's answers for waveforms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.assemble import Frames, Reading, model_answers, waveform_frames
from elp_core.class_answer import ClassAnswer
from elp_core.decoding import DecodeConfig
from elp_core.errors import AudioError, ConfigError
from elp_core.model import ElpModel
from elp_core.tasks import Task, decode_with
from elp_core.tasks.classification import ClipClassification
from elp_core.types import SAMPLE_RATE, Seconds

LARGEST_PEAK = 2.0
"""Resampling a loud recording exceeds ±1 by some tenths; values beyond have another scale, such as that of int16."""


def predict(
    model: ElpModel,
    waveforms: Sequence[npt.NDArray[np.float32]],
    batch_seconds: Seconds = 32.0,
    decode: DecodeConfig | None = None,
) -> list[Any]:
    """Return one answer for each waveform, in order: a transcript, a class, or a unit embedding float32 [E] (ASV).

    Args:
        model: Used on its device in eval mode, and left in the mode that it had.
        waveforms: Mono 16 kHz, [samples] each, real floating-point numbers with full scale at ±1.
        batch_seconds: Audio in a batch after padding; it changes speed and memory, never an answer.
        decode: For ASR, how letters become transcripts; None keeps the task's own way (greedy by default).

    Raises:
        ConfigError: `decode` is given for a task without transcripts, or its package is missing.
        AudioError: Naming the first waveform that is no 1-D array of floating-point numbers, has values that are not
            finite or far beyond ±1, or is too short.
    """
    return _read(model, model.task if decode is None else decode_with(model.task, decode), waveforms, batch_seconds)


def _read(
    model: ElpModel,
    task: Task,
    waveforms: Sequence[npt.NDArray[np.float32]],
    batch_seconds: Seconds,
    read: Reading | None = None,
) -> list[Any]:
    for place, samples in enumerate(waveforms):
        check_waveform(place, samples, model.backbone.min_samples)

    def frames(batch: list[int]) -> Frames:
        return waveform_frames(model, [np.asarray(waveforms[place], dtype=np.float32) for place in batch])

    durations = [len(samples) / SAMPLE_RATE for samples in waveforms]
    return model_answers(model, task, durations, batch_seconds, frames, read)


def classify(
    model: ElpModel, waveforms: Sequence[npt.NDArray[np.float32]], batch_seconds: Seconds = 32.0
) -> list[ClassAnswer]:
    """Return the class of each waveform, float32 [samples], with its probability, or that it is none of the classes.

    The arguments are those of `predict`.

    Raises:
        ConfigError: The task has no classes.
        AudioError: As `predict`.
    """
    task = model.task
    if not isinstance(task, ClipClassification):
        raise ConfigError("classify", [f"the task {task.name} has no classes, only ser and sic do"])
    return [task.decide(one) for one in _read(model, task, waveforms, batch_seconds, task.probabilities)]


def check_waveform(place: int, samples: npt.NDArray[np.float32], shortest: int) -> None:
    """Refuse an input that is no waveform [samples] of `shortest` samples or more; `place` is its place among others.

    Raises:
        AudioError: ``not_array``, ``not_mono``, ``not_float``, ``too_short``, ``nan`` or ``beyond_full_scale``.
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
            "divide int16 samples by 32768 first",
        )
    if len(samples) < shortest:
        raise AudioError(
            "too_short", f"waveform {place} has {len(samples)} samples; this backbone needs {shortest} or more"
        )
    peak = max(-float(samples.min()), float(samples.max()))
    if not np.isfinite(peak):
        raise AudioError("nan", f"waveform {place} has values that are NaN or infinite; check how it was read")
    if peak > LARGEST_PEAK:
        raise AudioError(
            "beyond_full_scale", f"waveform {place} has values up to {peak:.4g}, expected full scale at ±1; divide it"
        )
