"""From configuration to a seeded model, and from clips to answers and scores, batch by batch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from elp_core.audio import Waveform, load
from elp_core.backbones import Backbone, Prefix, prefix_values
from elp_core.data.collate import collate, collate_features
from elp_core.data.features import MEMORY_BYTES, RECORDING, FeatureCache
from elp_core.data.sampler import length_buckets
from elp_core.data.store import TensorStore
from elp_core.data.trials import TrialList
from elp_core.decoding import DecodeConfig
from elp_core.errors import CorpusError, TrainingError
from elp_core.methods import MethodConfig
from elp_core.metrics.scores import Evaluation
from elp_core.model import ElpModel
from elp_core.tasks import Comparing, Task, decode_with, judge_on
from elp_core.tasks.calibration import calibration_error, tempered
from elp_core.tasks.classification import ClipClassification
from elp_core.types import Clip, Seconds

Frames = tuple[torch.Tensor, torch.Tensor]
"""Frames float32 [B, F, dim] and frame counts int64 [B], as `ElpModel.forward` gives them."""
Reading = Callable[[nn.Module, torch.Tensor, torch.Tensor], Iterable[Any]]
"""Head, frames and counts to one value for each clip."""


def build(backbone: Backbone, adapter: MethodConfig, task: Task, seed: int) -> ElpModel:
    """Return a new model of any method; the same seed gives the same tensors. The caller's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ElpModel(backbone, adapter, task)


def evaluation_batches(durations: Sequence[Seconds], batch_seconds: Seconds) -> list[list[int]]:
    """Return the batches that an evaluation of clips of these durations is made of, as positions, shortest first.

    The last bits of an answer depend on its batch: who divides an evaluation divides these batches, and cuts none.
    """
    return length_buckets(durations, batch_seconds, 0, 0, shuffle=False)


def in_batches(
    durations: Sequence[Seconds], batch_seconds: Seconds, answer: Callable[[list[int]], Iterable[Any]]
) -> list[Any]:
    """Return one answer for each item, in their order, computed in batches of similar length (padding counted).

    `answer` gives the answers for the positions of one batch, in the order of the positions.
    """
    answers: list[Any] = [None] * len(durations)
    for batch in evaluation_batches(durations, batch_seconds):
        for position, found in zip(batch, answer(batch), strict=True):
            answers[position] = found
    return answers


@torch.inference_mode()
def answer_batch(model: ElpModel, audio: Sequence[bytes]) -> list[Any]:
    """Return the model's answers for the audio files of one batch of `evaluation_batches`; the model is in eval mode.

    Raises:
        AudioError: A file cannot be decoded.
    """
    return model.task.predict(model.head, *waveform_frames(model, [load(content) for content in audio]))


@torch.inference_mode()
def model_answers(
    model: ElpModel,
    task: Task,
    durations: Sequence[Seconds],
    batch_seconds: Seconds,
    frames: Callable[[list[int]], Frames],
    read: Reading | None = None,
) -> list[Any]:
    """Return the answers of `task` as `in_batches` does, from the `frames` of each batch; or what `read` gives.

    The model is in eval mode meanwhile, and in its previous mode afterwards.
    """
    was_training = model.training
    model.eval()
    try:
        answer = read or task.predict
        return in_batches(durations, batch_seconds, lambda batch: answer(model.head, *frames(batch)))
    finally:
        model.train(was_training)


def waveform_frames(model: ElpModel, waveforms: Sequence[Waveform]) -> Frames:
    """Return the model's frames for a padded batch of waveforms float32 [samples], on the backbone's device."""
    frames: Frames = model(*(tensor.to(model.backbone.device) for tensor in collate(waveforms)))
    return frames


def evaluate(
    model: ElpModel,
    clips: Sequence[Clip],
    batch_seconds: Seconds = 32.0,
    device: str = "auto",
    cache: FeatureCache | None = None,
    decode: DecodeConfig | None = None,
    trials: TrialList | None = None,
    report: Callable[[int], None] | None = None,
    answers: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Answer every clip and score the answers with the model's task.

    Args:
        model: Left on `device`, in the mode (training or not) that it had.
        clips: With their audio.
        batch_seconds: Audio in a batch; it changes speed and memory, never an answer.
        device: ``auto``, ``cpu`` or ``cuda``.
        cache: Made by `prefix_cache` for `model.prefix`, to evaluate the same clips many times; its values are rounded
            to float16.
        decode: For ASR, how letters become transcripts; None keeps the task's own way (greedy by default).
        trials: For ASV, the trials between the clips; None judges all pairs.
        report: Called after each batch with the number of clips that are answered.
        answers: The answers of the model's own task by clip id, if `answer_batch` gave them in other processes.

    Raises:
        CorpusError: There are no clips, or they cannot be scored.
        ConfigError: `decode` is given for a task without transcripts, or its package is missing; `trials` are given for
            a task without trials.
        AudioError: A clip cannot be decoded.
    """
    if not clips:
        raise CorpusError("there are no clips to evaluate on")
    task = model.task if decode is None else decode_with(model.task, decode)
    task = task if trials is None else judge_on(task, trials)
    if answers is None:
        answers = answer_clips(model, clips, batch_seconds, device, cache, task, report)
    else:
        # left where the other case leaves it
        model.to(pick_device(device))
    return task.evaluate(answers, clips, model.head)


def settle(model: ElpModel, evaluation: Evaluation) -> None:
    """Set the decision threshold of the model's task by its evaluation on the validation clips, if it has one."""
    if isinstance(model.task, Comparing):
        model.task = model.task.decide_at(evaluation)


def calibrate(
    model: ElpModel, clips: Sequence[Clip], batch_seconds: Seconds = 32.0, device: str = "auto"
) -> dict[str, float]:
    """Fit the calibration of the model's task on the validation clips, if it has classes; return what was found.

    That is ``calibration.temperature``, ``.floor`` (if it was chosen), ``.clips``, and the expected calibration error
    before and after, on the same clips; nothing for other tasks, and with too few clips. The clips are answered again.
    """
    task = model.task
    if not isinstance(task, ClipClassification):
        return {}
    found = answer_clips(model, clips, batch_seconds, device, read=task.probabilities)
    rows = [found[clip.id] for clip in clips]
    model.task = task = task.calibrated_on(rows, clips)
    if (fitted := task.calibration) is None:
        return {}
    labels, before = task.places(clips), np.stack(rows).astype(np.float64)
    values = {
        "temperature": fitted.temperature,
        "clips": float(fitted.clips),
        "error_before": calibration_error(before, labels),
        "error": calibration_error(tempered(before, fitted.temperature), labels),
    }
    values |= {} if fitted.floor is None else {"floor": fitted.floor}
    return {f"calibration.{name}": value for name, value in values.items()}


def answer_clips(
    model: ElpModel,
    clips: Sequence[Clip],
    batch_seconds: Seconds,
    device: str,
    cache: FeatureCache | None = None,
    task: Task | None = None,
    report: Callable[[int], None] | None = None,
    read: Reading | None = None,
) -> dict[str, Any]:
    """Return the answer of `task` (None: the model's own) by clip id, or what `read` gives in its place.

    The other arguments are those of `evaluate`.
    """
    where, done = pick_device(device), 0
    model.to(where)

    def kept_values(clip: Clip, cache: FeatureCache) -> torch.Tensor:
        return cache.get(clip.id, RECORDING, lambda: clip_values(model.backbone, model.prefix, load(clip.audio)))

    def frames(batch: list[int]) -> Frames:
        nonlocal done
        if report and done:
            # the batches before this one
            report(done)
        done += len(batch)
        chosen = [clips[position] for position in batch]
        if cache is None:
            return waveform_frames(model, [load(clip.audio) for clip in chosen])
        values, counts = collate_features([kept_values(clip, cache) for clip in chosen])
        return model.from_prefix(model.prefix, values.to(where), counts.to(where))

    durations = [clip.duration for clip in clips]
    found = model_answers(model, task or model.task, durations, batch_seconds, frames, read)
    if report:
        report(done)
    return {clip.id: answer for clip, answer in zip(clips, found, strict=True)}


def prefix_cache(
    backbone: Backbone, prefix: Prefix, memory_bytes: int = MEMORY_BYTES, store: TensorStore | None = None
) -> FeatureCache:
    """Return a cache for the values of `clip_values` on the device that the backbone is on now."""
    return FeatureCache(backbone.fingerprint, memory_bytes, store, prefix.name, backbone.device.type)


@torch.no_grad()
def clip_values(backbone: Backbone, prefix: Prefix, samples: Waveform) -> torch.Tensor:
    """Return the prefix's values of one clip's float32 [samples]: CNN features [F, C], or n states [n, F, D].

    They are computed without other clips, on the backbone's device.
    """
    features, counts = backbone.features(*(tensor.to(backbone.device) for tensor in collate([samples])))
    return prefix_values(backbone, prefix, features, counts).squeeze(-3)


def pick_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means on this machine.

    Raises:
        TrainingError: The name is another one, or ``cuda`` and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"{name!r} is no device, expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("the device cuda was asked for and this machine shows none; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
