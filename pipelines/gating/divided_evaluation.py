"""Evaluate systems on one set of clips; a large evaluation is divided among processes or machines.

A task is some batches of one system. The batches are those of an evaluation in one process, and none is cut: the last
bits of an answer depend on the clips that share its batch. A worker gets the sound of the clips, the bundles' files and
the name of the backbone, and reads no file of this machine. It refuses to answer with another kind of processor.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.types import Clip, Seconds
from pipelines.chunk_map import ChunkMap
from pipelines.errors import UsageError
from pipelines.local.chunk_processes import processes_map
from pipelines.local.compute_settings import Compute
from pipelines.local.gpus import visible_gpus

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.config import TrainConfig
    from elp_core.data.trials import TrialList
    from elp_core.metrics.scores import Evaluation
    from elp_core.model import ElpModel

LARGE: Seconds = 600.0
"""Audio, all systems together, from which an evaluation is divided: each process first loads torch and the backbone."""
CHUNK_SECONDS: Seconds = 128.0
"""Audio in a task, about: at least one batch."""


@dataclass(frozen=True)
class System:
    """What is evaluated: a bundle, and its model on this machine."""

    name: str
    digest: str
    bundle: Path
    model: ElpModel


@dataclass(frozen=True)
class SentSystem:
    """A system in the form in which it is sent to another process."""

    backbone: str
    """Id, by which the worker loads it."""
    fingerprint: str
    digest: str
    files: Mapping[str, bytes]
    """Of the bundle, by name."""


@dataclass(frozen=True)
class SentBatch:
    """One batch of one system."""

    system: int
    """Place among the systems."""
    audio: tuple[bytes, ...]


@dataclass(frozen=True)
class Arithmetic:
    """What decides the last bits of a result, in addition to the packages."""

    device: str
    """``cpu`` or ``cuda``."""
    processor: str
    """Maker and instructions of the CPU, or the name of the GPU."""
    threads: int


Answered = Callable[[System, int], None]
"""Called with a system and the number of its clips that are answered."""


def evaluate_systems(
    systems: Sequence[System],
    clips: Sequence[Clip],
    trials: TrialList | None,
    train: TrainConfig,
    chunk_map: ChunkMap | None,
    answered: Answered,
) -> list[Evaluation]:
    """Return the evaluation of each system, the same bits with any `chunk_map`; None evaluates in this process."""
    from elp_core.assemble import evaluate

    seconds, device = train.batch_seconds, train.device
    if chunk_map is None or len(systems) * sum(clip.duration for clip in clips) < LARGE:
        return [
            evaluate(one.model, clips, seconds, device, trials=trials, report=functools.partial(answered, one))
            for one in systems
        ]
    answers = _divided(systems, clips, seconds, device, chunk_map, answered)
    return [
        evaluate(one.model, clips, seconds, device, trials=trials, answers=found)
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
    systems: Sequence[System],
    clips: Sequence[Clip],
    batch_seconds: Seconds,
    device: str,
    chunk_map: ChunkMap,
    answered: Answered,
) -> list[dict[str, Any]]:
    """Return the answers by clip id, for each system."""
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
        answered(systems[system], len(found[system]))
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


def _sent(system: System) -> SentSystem:
    backbone = system.model.backbone
    files = {path.name: path.read_bytes() for path in sorted(system.bundle.iterdir())}
    return SentSystem(backbone.id, backbone.fingerprint, system.digest, files)


def this_arithmetic(device: str) -> Arithmetic:
    """Return the arithmetic of this process on a device."""
    import torch

    if device == "cuda":
        return Arithmetic(device, torch.cuda.get_device_name(), torch.get_num_threads())
    return Arithmetic(device, f"{_maker()} {torch.backends.cpu.get_cpu_capability()}", torch.get_num_threads())


def _maker() -> str:
    """Return the maker of this machine's CPU; PyTorch's libraries choose their code by it."""
    try:
        found = re.search(r"^vendor_id\s*:\s*(\S+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return f"{platform.machine()} {found[1]}" if found else platform.machine()


_loaded: dict[tuple[str, str, str], ElpModel] = {}
"""Models of this process, by the bundle's digest, the backbone's fingerprint and the device."""
_backbones: dict[str, Backbone] = {}
_MOST_MODELS = 4
_one_at_a_time = threading.Lock()
"""Workers of a cluster may have several threads, and models on one backbone are not used by two of them at once."""


def answer_batches(
    systems: Sequence[SentSystem], arithmetic: Arithmetic, batches: Sequence[SentBatch]
) -> list[list[Any]]:
    """Return the answers of each batch's clips; it runs in a worker, which keeps the weights for its next call.

    Raises UsageError if the worker has another processor, or another backbone under the same name.
    """
    import torch

    from elp_core.assemble import answer_batch

    with _one_at_a_time:
        mine = this_arithmetic(arithmetic.device if torch.cuda.is_available() else "cpu")
        if (mine.device, mine.processor) != (arithmetic.device, arithmetic.processor):
            raise UsageError(
                f"worker {socket.gethostname()} of the engine computes on {mine.processor}, and the run on "
                f"{arithmetic.processor}: its results may have other last bits; give the engine workers of one kind"
            )
        before = torch.get_num_threads()
        torch.set_num_threads(arithmetic.threads)
        try:
            return [answer_batch(_model(systems[batch.system], arithmetic.device), batch.audio) for batch in batches]
        finally:
            torch.set_num_threads(before)


def _model(system: SentSystem, device: str) -> ElpModel:
    from elp_core.bundle import bundle_digest, load_bundle

    key = (system.digest, system.fingerprint, device)
    if key not in _loaded:
        backbone = _backbone(system, device)
        with tempfile.TemporaryDirectory(prefix="elp-bundle-") as folder:
            for name, content in system.files.items():
                (Path(folder) / os.path.basename(name)).write_bytes(content)
            got = bundle_digest(Path(folder))
            if got != system.digest:
                raise UsageError(f"a bundle arrived as {got}, and {system.digest} was sent; start the run again")
            model = load_bundle(Path(folder), backbone)
        while len(_loaded) >= _MOST_MODELS:
            del _loaded[next(iter(_loaded))]
        _loaded[key] = model
    return _loaded[key]


def _backbone(system: SentSystem, device: str) -> Backbone:
    """Return the backbone of a system, read once; a process keeps the last one."""
    from elp_core.backbones import Backbone
    from elp_core.errors import BackboneError

    kept = _backbones.get(system.fingerprint)
    if kept is None:
        try:
            kept = Backbone.from_pretrained(system.backbone)
        except BackboneError as error:
            raise UsageError(
                f"worker {socket.gethostname()} of the engine cannot load the backbone {system.backbone} ({error}); "
                "each worker needs it under the same name"
            ) from error
        if kept.fingerprint != system.fingerprint:
            raise UsageError(
                f"the backbone {system.backbone} of worker {socket.gethostname()} has the fingerprint "
                f"{kept.fingerprint}, and that of the run {system.fingerprint}; install the same weights on both"
            )
        _loaded.clear()
        _backbones.clear()
        _backbones[system.fingerprint] = kept
    kept.to(device)
    return kept
