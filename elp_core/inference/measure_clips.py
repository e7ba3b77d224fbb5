"""Measurements of waveforms that need no references: the sound, the backbone's features, the model's confidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from elp_core.assemble import in_batches
from elp_core.audio import Measurements, Waveform, measure
from elp_core.backbones import CNN
from elp_core.data.collate import collate
from elp_core.inference.predict import check_waveform
from elp_core.inference.word_times import LogProbabilities, best_path
from elp_core.languages import BLANK
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition, Task
from elp_core.tasks.classification import ClipClassification
from elp_core.tasks.pooling import masked_mean
from elp_core.types import SAMPLE_RATE, Seconds


@dataclass(frozen=True)
class Certainty:
    """How sure a model is of its answer."""

    confidence: float
    """0 to 1: of a class its probability; of a transcript the geometric mean over its tokens, each at its best frame
    (of an empty transcript: over all frames)."""
    blank_share: float | None = None
    """Of a transcript: share of frames whose best class is CTC's blank."""


@dataclass(frozen=True, eq=False)
class MeasuredClip:
    """What is known of a clip without its transcript or label."""

    sound: Measurements
    features: npt.NDArray[np.float32]
    """Mean over time of the backbone's CNN features, [C]; no adapter changes them."""
    certainty: Certainty | None
    """None for a task that compares recordings."""


@torch.inference_mode()
def measure_waveforms(
    model: ElpModel, waveforms: Sequence[Waveform], batch_seconds: Seconds = 32.0
) -> list[MeasuredClip]:
    """Return the measurements of each waveform, float32 [samples] at 16 kHz, in order.

    The model is used on its device in eval mode, and left in the mode that it had.

    Raises:
        AudioError: Naming the first waveform that cannot be used.
    """
    for place, samples in enumerate(waveforms):
        check_waveform(place, samples, model.backbone.min_samples)
    device = model.backbone.device

    def measured(batch: list[int]) -> list[MeasuredClip]:
        chosen = [waveforms[place] for place in batch]
        features, counts = model.backbone.features(*(tensor.to(device) for tensor in collate(chosen)))
        pooled = masked_mean(features, counts).cpu().numpy()
        sure = _certainties(model.task, model.head, *model.from_prefix(CNN, features, counts))
        return [MeasuredClip(measure(one), row, how) for one, row, how in zip(chosen, pooled, sure, strict=True)]

    was_training = model.training
    model.eval()
    try:
        return in_batches([len(samples) / SAMPLE_RATE for samples in waveforms], batch_seconds, measured)
    finally:
        model.train(was_training)


def transcript_certainty(log_probabilities: LogProbabilities) -> Certainty:
    """Return the certainty of the best path through [frames, classes]."""
    tokens = best_path(log_probabilities)
    best = [token.probability for token in tokens] or np.exp(log_probabilities.max(axis=1)).tolist()
    confidence = float(np.exp(np.mean(np.log(np.maximum(best, np.finfo(np.float32).tiny)))))
    return Certainty(confidence, float(np.mean(log_probabilities.argmax(axis=1) == BLANK)))


def _certainties(task: Task, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Certainty | None]:
    if isinstance(task, SpeechRecognition):
        return [transcript_certainty(rows) for rows in task.log_probabilities(head, frames, counts)]
    if isinstance(task, ClipClassification):
        return [Certainty(value) for value in head(frames, counts).float().softmax(-1).amax(-1).tolist()]
    return [None] * len(counts)
