"""Where configuration meets classes: a seeded model from its parts, and its score on a set of clips."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from elp_core.audio import Waveform, load
from elp_core.backbones import Backbone, Prefix, prefix_values
from elp_core.data.collate import collate, collate_features
from elp_core.data.features import MEMORY_BYTES, RECORDING, FeatureCache
from elp_core.data.sampler import length_buckets
from elp_core.data.store import TensorStore
from elp_core.decoding import DecodeConfig
from elp_core.errors import CorpusError, TrainingError
from elp_core.methods import MethodConfig
from elp_core.metrics.scores import Evaluation
from elp_core.model import ElpModel
from elp_core.tasks import Comparing, Task, decode_with
from elp_core.types import Clip, Seconds


def build(backbone: Backbone, adapter: MethodConfig, task: Task, seed: int) -> ElpModel:
    """A fresh model of any method: the same seed gives the same tensors; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ElpModel(backbone, adapter, task)


def evaluate(
    model: ElpModel,
    clips: Sequence[Clip],
    batch_seconds: Seconds = 32.0,
    device: str = "auto",
    cache: FeatureCache | None = None,
    decode: DecodeConfig | None = None,
) -> Evaluation:
    """Answer every clip and score the answers with the model's task.

    Args:
        model: left on `device`, in the mode (training or not) it came in.
        clips: with their audio.
        batch_seconds: audio in a batch; it changes speed and memory, never an answer.
        device: ``auto``, ``cpu`` or ``cuda``.
        cache: made by `prefix_cache` for `model.prefix`, for one who evaluates the same clips again and again; what it
            keeps is rounded to float16.
        decode: for ASR, how letters become transcripts; None keeps to the task's own way (greedy by default).

    Raises:
        CorpusError: where there are no clips, or they cannot be scored.
        ConfigError: for `decode` on a task without transcripts, or one that cannot be had here.
        AudioError: where a clip cannot be decoded.
    """
    if not clips:
        raise CorpusError("there are no clips to evaluate on")
    task = model.task if decode is None else decode_with(model.task, decode)
    return task.evaluate(answers(model, clips, batch_seconds, device, cache, task), clips, model.head)


def settle(model: ElpModel, evaluation: Evaluation) -> None:
    """Give the model's task the threshold that its evaluation on the validation clips asks for; others stay as is."""
    if isinstance(model.task, Comparing):
        model.task = model.task.decide_at(evaluation)


@torch.inference_mode()
def answers(
    model: ElpModel,
    clips: Sequence[Clip],
    batch_seconds: Seconds,
    device: str,
    cache: FeatureCache | None = None,
    task: Task | None = None,
) -> dict[str, Any]:
    """The answer for each clip id of `task` (None: the model's own)."""
    task = task or model.task
    where = pick_device(device)
    model.to(where)
    was_training = model.training
    model.eval()
    outputs: dict[str, Any] = {}
    try:
        for batch in length_buckets([clip.duration for clip in clips], batch_seconds, 0, 0, shuffle=False):
            chosen = [clips[position] for position in batch]
            frames, counts = _frames(model, chosen, where, cache)
            found = task.predict(model.head, frames, counts)
            outputs.update((clip.id, answer) for clip, answer in zip(chosen, found, strict=True))
    finally:
        model.train(was_training)
    return outputs


def _frames(
    model: ElpModel, clips: Sequence[Clip], where: torch.device, cache: FeatureCache | None
) -> tuple[torch.Tensor, torch.Tensor]:
    if cache is None:
        waveforms, lengths = collate([load(clip.audio) for clip in clips])
        heard: tuple[torch.Tensor, torch.Tensor] = model(waveforms.to(where), lengths.to(where))
        return heard
    kept = [cache.get(clip.id, RECORDING, functools.partial(_values, model, clip)) for clip in clips]
    values, counts = collate_features(kept)
    return model.from_prefix(model.prefix, values.to(where), counts.to(where))


def prefix_cache(
    backbone: Backbone, prefix: Prefix, memory_bytes: int = MEMORY_BYTES, store: TensorStore | None = None
) -> FeatureCache:
    """A cache of what `clip_values` gives on the device that the backbone is on now."""
    device = next(backbone.parameters()).device
    return FeatureCache(backbone.fingerprint, memory_bytes, store, prefix.name, device.type)


@torch.no_grad()
def clip_values(backbone: Backbone, prefix: Prefix, samples: Waveform) -> torch.Tensor:
    """What `prefix` keeps of one clip's float32 [samples], heard alone, on the backbone's device.

    Returns:
        CNN features [F, C], or n states [n, F, D].
    """
    waveforms, lengths = collate([samples])
    device = next(backbone.parameters()).device
    features, counts = backbone.features(waveforms.to(device), lengths.to(device))
    return prefix_values(backbone, prefix, features, counts).squeeze(-3)


def _values(model: ElpModel, clip: Clip) -> torch.Tensor:
    return clip_values(model.backbone, model.prefix, load(clip.audio))


def pick_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` stands for here.

    Raises:
        TrainingError: for ``cuda`` where there is none, and for another name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"{name!r} is no device, expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise TrainingError("the device cuda was asked for and this machine shows none; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and available else "cpu")
