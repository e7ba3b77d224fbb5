"""What a model answers for unlabelled waveforms, how sure it is, and where they are among the backbone's features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from elp_core.assemble import in_batches
from elp_core.audio import Waveform
from elp_core.backbones import CNN, Backbone
from elp_core.data.collate import collate
from elp_core.inference.measure_clips import transcript_certainty
from elp_core.inference.predict import check_waveform
from elp_core.inference.word_times import LogProbabilities, best_path, words_of
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition
from elp_core.tasks.classification import ClipClassification
from elp_core.tasks.pooling import masked_mean
from elp_core.types import SAMPLE_RATE, Seconds


@dataclass(frozen=True)
class DraftAnswer:
    """A model's answer to a recording that nobody has labelled."""

    text: str
    """The words, or the likeliest class."""
    confidence: float
    """0 to 1: of a transcript the geometric mean over its tokens, of a class its calibrated probability."""
    margin: float
    """0 to 1: of a class, its probability minus that of the second; of a transcript, the confidence, and 0 if it has
    no word."""
    none_of_these: bool = False
    """Whether the model answers that it is of no known class."""

    @property
    def uncertainty(self) -> float:
        """Return 1 minus the margin."""
        return 1.0 - self.margin


@dataclass(frozen=True, eq=False)
class AssessedClip:
    """The features of a recording, and the answer if the model has one."""

    features: npt.NDArray[np.float32]
    """Mean over time of the backbone's CNN features, [C]; no adapter changes them."""
    answer: DraftAnswer | None
    """None without a model, and for a task that compares recordings."""


@torch.inference_mode()
def assess_waveforms(
    model: ElpModel | Backbone, waveforms: Sequence[Waveform], batch_seconds: Seconds = 32.0
) -> list[AssessedClip]:
    """Return the assessment of each waveform, float32 [samples] at 16 kHz, in order; of a backbone, the features.

    The model is used on its device in eval mode, and left in the mode that it had.

    Raises:
        AudioError: Naming the first waveform that cannot be used.
    """
    backbone = model if isinstance(model, Backbone) else model.backbone
    for place, samples in enumerate(waveforms):
        check_waveform(place, samples, backbone.min_samples)

    def assessed(batch: list[int]) -> list[AssessedClip]:
        chosen = [waveforms[place] for place in batch]
        features, counts = backbone.features(*(tensor.to(backbone.device) for tensor in collate(chosen)))
        pooled = masked_mean(features, counts).cpu().numpy()
        answers = [None] * len(batch) if isinstance(model, Backbone) else _answers(model, features, counts)
        return [AssessedClip(row, answer) for row, answer in zip(pooled, answers, strict=True)]

    was_training = model.training
    model.eval()
    try:
        return in_batches([len(samples) / SAMPLE_RATE for samples in waveforms], batch_seconds, assessed)
    finally:
        model.train(was_training)


def _answers(model: ElpModel, features: torch.Tensor, counts: torch.Tensor) -> Sequence[DraftAnswer | None]:
    task, frames = model.task, model.from_prefix(CNN, features, counts)
    if isinstance(task, SpeechRecognition):
        return [_transcript(task, rows) for rows in task.log_probabilities(model.head, *frames)]
    if isinstance(task, ClipClassification):
        return [_class(task, row) for row in task.probabilities(model.head, *frames)]
    return [None] * len(counts)


def _transcript(task: SpeechRecognition, rows: LogProbabilities) -> DraftAnswer:
    spaced = task.language.spaced and task.units.spaced
    words = words_of(best_path(rows), task.units.symbols, spaced)
    text = (" " if spaced else "").join(word.text for word in words)
    confidence = transcript_certainty(rows).confidence
    # of no word, the blanks are sure, and speech without words is the worst answer
    return DraftAnswer(text, confidence, confidence if text else 0.0)


def _class(task: ClipClassification, row: npt.NDArray[np.float32]) -> DraftAnswer:
    found = task.decide(row)
    ranked = [*found.probabilities.values()]
    second = ranked[1] if len(ranked) > 1 else 0.0
    return DraftAnswer(found.likeliest, found.probability, found.probability - second, found.label is None)
