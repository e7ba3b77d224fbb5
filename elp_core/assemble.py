"""Where configuration meets classes: a seeded model from its parts, and its score on a set of clips."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from elp_core.audio import Waveform, load
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig
from elp_core.data.collate import collate, collate_features
from elp_core.data.features import FeatureCache
from elp_core.data.sampler import length_buckets
from elp_core.errors import CorpusError, TrainingError
from elp_core.metrics.scores import Evaluation
from elp_core.model import ElpModel
from elp_core.tasks import Comparing, Task
from elp_core.types import Clip, Seconds


def build(backbone: Backbone, adapter: ElpConfig, task: Task, seed: int) -> ElpModel:
    """A fresh model: the same seed gives the same adapters and head; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ElpModel(backbone, adapter, task)


def evaluate(
    model: ElpModel,
    clips: Sequence[Clip],
    batch_seconds: Seconds = 32.0,
    device: str = "auto",
    cache: FeatureCache | None = None,
) -> Evaluation:
    """Answer every clip and score the answers with the model's task.

    Args:
        model: left on `device`, in the mode (training or not) it came in.
        clips: with their audio.
        batch_seconds: audio in a batch; it changes speed and memory, never an answer.
        device: ``auto``, ``cpu`` or ``cuda``.
        cache: of this backbone's features, for one who evaluates the same clips again and again; they are then rounded
            to float16.

    Raises:
        CorpusError: where there are no clips, or they cannot be scored.
        AudioError: where a clip cannot be decoded.
    """
    if not clips:
        raise CorpusError("there are no clips to evaluate on")
    return model.task.evaluate(answers(model, clips, batch_seconds, device, cache), clips, model.head)


def settle(model: ElpModel, evaluation: Evaluation) -> None:
    """Give the model's task the threshold that its evaluation on the validation clips asks for; others stay as is."""
    if isinstance(model.task, Comparing):
        model.task = model.task.decide_at(evaluation)


@torch.inference_mode()
def answers(
    model: ElpModel, clips: Sequence[Clip], batch_seconds: Seconds, device: str, cache: FeatureCache | None = None
) -> dict[str, Any]:
    """The task's answer for each clip id."""
    where = pick_device(device)
    model.to(where)
    was_training = model.training
    model.eval()
    outputs: dict[str, Any] = {}
    for batch in length_buckets([clip.duration for clip in clips], batch_seconds, 0, 0, shuffle=False):
        chosen = [clips[position] for position in batch]
        if cache is None:
            waveforms, lengths = collate([load(clip.audio) for clip in chosen])
            frames, counts = model(waveforms.to(where), lengths.to(where))
        else:
            kept = [cache.get(clip.id, "", functools.partial(_features, model.backbone, clip)) for clip in chosen]
            features, counts = collate_features(kept)
            frames, counts = model.from_features(features.to(where), counts.to(where))
        found = model.task.predict(model.head, frames, counts)
        outputs.update((clip.id, answer) for clip, answer in zip(chosen, found, strict=True))
    model.train(was_training)
    return outputs


@torch.no_grad()
def clip_features(backbone: Backbone, samples: Waveform) -> torch.Tensor:
    """CNN features [frames, channels] of one clip's float32 [samples], on the backbone's device."""
    waveforms, lengths = collate([samples])
    device = next(backbone.parameters()).device
    features, counts = backbone.features(waveforms.to(device), lengths.to(device))
    return features[0, : int(counts[0])]


def _features(backbone: Backbone, clip: Clip) -> torch.Tensor:
    return clip_features(backbone, load(clip.audio))


def pick_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for here.

    Raises:
        TrainingError: for ``cuda`` where there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise TrainingError("the device cuda was asked for and this machine shows none; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and available else "cpu")
