"""What the gate measures of a challenger beside its scores: size, speed, and that the backbone stays what it is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from elp_core.audio import load
from elp_core.backbones import Backbone, tensor_digests
from elp_core.data.collate import collate
from elp_core.model import ElpModel
from elp_core.types import SAMPLE_RATE, Clip, Seconds
from pipelines.registry.verdict import Speed

ROUNDS = 5
MOST_AUDIO: Seconds = 16.0
"""In a round; a longer clip alone is taken where there is no shorter one."""


def bundle_bytes(folder: Path) -> int:
    """Bytes of a bundle's files."""
    return sum(path.stat().st_size for path in folder.iterdir())


def memory_digest(backbone: Backbone) -> str:
    """``sha256:…`` of the backbone's tensors as they are in memory now."""
    digests = tensor_digests(backbone.state_dict())
    lines = "".join(f"{name} {line}\n" for name, line in digests.items())
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


@torch.inference_mode()
def measure_speed(model: ElpModel, clips: Sequence[Clip], rounds: int = ROUNDS) -> Speed:
    """Time the adapter's answers and the backbone alone on the same clips, turn about, and keep the best of each.

    What else runs on a machine only ever adds time, to both alike: the best of several rounds is the work itself, and
    the two taken in turns meet the same machine. So a busy one fails no good adapter.

    Args:
        model: on the device that it was judged on, in eval mode.
        clips: one or more, with their audio.
        rounds: after one that is not counted.
    """
    device = next(model.backbone.parameters()).device
    waveforms = [load(clip.audio) for clip in _some(clips)]
    padded, lengths = (part.to(device) for part in collate(waveforms))

    def alone() -> None:
        model.detach()
        try:
            model(padded, lengths)
        finally:
            model.attach()

    def adapted() -> None:
        frames, counts = model(padded, lengths)
        model.task.predict(model.head, frames, counts)

    times = [(_seconds(alone, device), _seconds(adapted, device)) for _ in range(rounds + 1)][1:]
    audio = sum(lengths.tolist()) / SAMPLE_RATE
    return Speed(audio, min(one for one, _ in times), min(other for _, other in times), device.type)


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _some(clips: Sequence[Clip]) -> list[Clip]:
    """Clips in their order that together are no longer than `MOST_AUDIO`; the shortest where none is."""
    chosen, total = list[Clip](), 0.0
    for clip in clips:
        if total + clip.duration <= MOST_AUDIO:
            chosen.append(clip)
            total += clip.duration
    return chosen or [min(clips, key=lambda clip: clip.duration)]
