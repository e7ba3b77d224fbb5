"""Evaluate systems on one set of clips; a large evaluation is divided among processes or machines.

A task is some batches of one system. The batches are those of an evaluation in one process, and none is cut: the last
bits of an answer depend on the clips that share its batch. `batch_answers` has what a worker does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.types import Clip, Seconds
from pipelines.chunk_map import ChunkMap
from pipelines.gating.batch_answers import SentBatch, SentSystem, answer_batches, this_arithmetic
from pipelines.local.chunk_processes import processes_map
from pipelines.local.compute_settings import Compute
from pipelines.local.gpus import visible_gpus

if TYPE_CHECKING:
    from elp_core.config import TrainConfig
    from elp_core.data.trials import TrialList
    from elp_core.metrics.scores import Evaluation
    from elp_core.model import ElpModel

LARGE: Seconds = 600.0
"""Audio, all systems together, from which an evaluation is divided: each process first loads torch and the backbone."""
CHUNK_SECONDS: Seconds = 128.0
"""Audio in a task, about: at least one batch."""


@dataclass(frozen=True)
class EvaluatedSystem:
    """What is evaluated: a bundle, and its model on this machine."""

    name: str
    digest: str
    bundle: Path
    model: ElpModel


Answered = Callable[[str, int], None]
"""Called with the name of a system and the number of its clips that are answered."""


def answer_systems(
    systems: Sequence[EvaluatedSystem],
    clips: Sequence[Clip],
    train: TrainConfig,
    chunk_map: ChunkMap | None,
    answered: Answered,
) -> list[dict[str, Any]]:
    """Return the answers by clip id, for each system: the same bits with any `chunk_map`; None answers here."""
    from elp_core.assemble import answer_clips

    seconds, device = train.batch_seconds, train.device
    if chunk_map is not None and len(systems) * sum(clip.duration for clip in clips) >= LARGE:
        return _divided(systems, clips, seconds, device, chunk_map, answered)
    return [
        answer_clips(one.model, clips, seconds, device, report=functools.partial(answered, one.name)) for one in systems
    ]


def judge_answers(
    systems: Sequence[EvaluatedSystem],
    answers: Sequence[Mapping[str, Any]],
    clips: Sequence[Clip],
    trials: TrialList | None,
    train: TrainConfig,
) -> list[Evaluation]:
    """Return the evaluation of each system by its answers, which `answer_systems` gave."""
    from elp_core.assemble import evaluate

    return [
        evaluate(one.model, clips, train.batch_seconds, train.device, trials=trials, answers=found)
        for one, found in zip(systems, answers, strict=True)
    ]


def own_processes(compute: Compute, device: str) -> ChunkMap | None:
    """Return the processes of this machine that `compute` allows: on GPUs one for each. None for a single one."""
    if compute.processes == 1:
        return None
    import torch

    environments: list[dict[str, str]] = [{} for _ in range(compute.processes)]
    if device != "cpu" and torch.cuda.is_available():
        # fewer GPUs than processes are used as they are: a run of the gate alone has one
        environments = [{"CUDA_VISIBLE_DEVICES": name} for name in visible_gpus()[: compute.processes]]
    if len(environments) < 2:
        return None
    # every process has as many threads as this one, for the same bits; threads that wait must not use up the cores
    return processes_map([{"OMP_WAIT_POLICY": "PASSIVE", **one} for one in environments])


def _divided(
    systems: Sequence[EvaluatedSystem],
    clips: Sequence[Clip],
    batch_seconds: Seconds,
    device: str,
    chunk_map: ChunkMap,
    answered: Answered,
) -> list[dict[str, Any]]:
    from elp_core.assemble import evaluation_batches, pick_device

    batches = evaluation_batches([clip.duration for clip in clips], batch_seconds)
    plan = [
        (system, chunk) for system in range(len(systems)) for chunk in _chunks(batches, [c.duration for c in clips])
    ]
    arithmetic = this_arithmetic(pick_device(device).type)
    work = functools.partial(answer_batches, tuple(_sent(one) for one in systems), arithmetic)

    def chunks() -> Iterator[list[SentBatch]]:
        for system, chunk in plan:
            yield [SentBatch(system, tuple(clips[place].audio for place in batch)) for batch in chunk]

    found: list[dict[str, Any]] = [{} for _ in systems]
    for (system, chunk), answers in zip(plan, chunk_map(work, chunks()), strict=True):
        for batch, some in zip(chunk, answers, strict=True):
            found[system] |= {clips[place].id: answer for place, answer in zip(batch, some, strict=True)}
        answered(systems[system].name, len(found[system]))
    # in the order of the clips, as in one process
    return [{clip.id: answers[clip.id] for clip in clips} for answers in found]


def _chunks(batches: Sequence[list[int]], durations: Sequence[Seconds]) -> Iterator[list[list[int]]]:
    """Yield batches in groups of about `CHUNK_SECONDS`; the longest clips are last, and are in the smallest groups."""
    chunk: list[list[int]] = []
    held = 0.0
    for batch in batches:
        # what is computed is the batch with its padding
        seconds = len(batch) * max(durations[place] for place in batch)
        if chunk and held + seconds > CHUNK_SECONDS:
            yield chunk
            chunk, held = [], 0.0
        chunk.append(batch)
        held += seconds
    if chunk:
        yield chunk


def _sent(system: EvaluatedSystem) -> SentSystem:
    backbone = system.model.backbone
    files = {path.name: path.read_bytes() for path in sorted(system.bundle.iterdir())}
    return SentSystem(backbone.id, backbone.fingerprint, system.digest, files)
