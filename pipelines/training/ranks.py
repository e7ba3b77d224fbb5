"""Train one slot in several processes of this machine: on GPUs each has one of its own, on the CPU a part of the cores.

All are children of the process that calls `train_in_ranks`, so none of PyTorch's state of several processes is left in
it. A child that ends early ends the others; the end of the caller, by whatever signal, ends all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from elp_core.config import to_dict
from elp_core.errors import TrainingError
from elp_core.types import Seconds
from pipelines.local.environment import child_environment
from pipelines.local.gpus import visible_gpus
from pipelines.local.settings import Settings
from pipelines.locks import held_descriptors
from pipelines.training.inputs import TrainingInputs
from pipelines.training.rank_process import TENSORS, RankTask

if TYPE_CHECKING:
    from elp_core.training import Job, TrainResult

_EVERY: Seconds = 0.2
_GRACE: Seconds = 2.0
"""Time for the other processes to say what went wrong, which may be the cause of the first one's end."""
_LOG_BYTES = 2000
"""The end of a process's log that is shown if it says nothing else."""


def train_in_ranks(
    inputs: TrainingInputs,
    job: Job,
    settings: Settings,
    processes: int,
    *,
    repository: str,
    mlflow_uri: str,
    cache: Path,
) -> TrainResult:
    """Train `job` in so many processes; the model then has the tensors of the best epoch.

    Every process reads the same inputs from the `repository` on this machine and the registry, and must find the same
    training key. The checkpoint is that of a training in one process: it can be continued with any number of processes.

    Raise TrainingError if there are fewer GPUs than processes, or if a process failed or died.
    """
    assert job.checkpoint is not None
    assert job.cache is not None
    folder = job.checkpoint.parent
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("ranks-*"):
        # of a caller that was killed: its children ended with it
        shutil.rmtree(stale, ignore_errors=True)
    environments = rank_environments(processes, job.config.device)
    with tempfile.TemporaryDirectory(prefix="ranks-", dir=folder) as meeting:
        task = RankTask(
            repository=repository,
            slot=str(inputs.slot),
            tag=inputs.data.dataset.tag,
            settings=to_dict(settings),
            mlflow_uri=mlflow_uri,
            cache=str(cache.resolve()),
            key=inputs.key,
            checkpoint=str(job.checkpoint.resolve()),
            features=str(job.cache.resolve()),
            meeting=meeting,
            processes=processes,
        )
        with _started(environments, Path(meeting)) as ranks:
            result = _followed(ranks, task, job)
        from safetensors.torch import load_file

        job.model.load_state(load_file(Path(meeting) / TENSORS))
        job.model.eval()
    return result


def rank_environments(processes: int, device: str) -> list[dict[str, str]]:
    """Return what each process needs in its environment: its rank, and its GPU or its share of the cores.

    Raise TrainingError if this process sees GPUs, but fewer than `processes`.
    """
    import torch

    gpus = visible_gpus() if device != "cpu" and torch.cuda.is_available() else []
    if gpus and len(gpus) < processes:
        raise TrainingError(
            f"compute.processes is {processes}, and this process sees {len(gpus)} GPU(s); set compute.processes to "
            f"{len(gpus)} or give the worker more GPUs"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shared = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // processes)),
        # the processes reach each other by the loopback interface alone
        **dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), "lo0" if sys.platform == "darwin" else "lo"),
    }
    return [
        {
            **shared,
            **({"CUDA_VISIBLE_DEVICES": gpus[rank]} if gpus else {"ACCELERATE_USE_CPU": "true"}),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
        }
        for rank in range(processes)
    ]


@contextlib.contextmanager
def _started(environments: Sequence[dict[str, str]], folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a process for each environment; the end of the block ends all."""
    command, ranks = [sys.executable, "-P", "-m", "pipelines.training.rank_process"], list[subprocess.Popen[str]]()
    try:
        for rank, own in enumerate(environments):
            with (folder / f"{rank}.log").open("wb") as log:
                pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
                # a GPU that this process holds is in use until the last child has ended
                pipes["pass_fds"] = held_descriptors()
                ranks.append(subprocess.Popen(command, env=child_environment({}) | own, text=True, **pipes))
        yield ranks
    finally:
        for process in ranks:
            process.kill()
        for process in ranks:
            with contextlib.suppress(OSError):
                process.communicate()


def _followed(ranks: Sequence[subprocess.Popen[str]], task: RankTask, job: Job) -> TrainResult:
    """Give every process the task, pass on the events of the first, and return its result when all have ended."""
    events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    readers: list[threading.Thread] = []
    for rank, process in enumerate(ranks):
        assert process.stdin is not None
        assert process.stdout is not None
        # a process that has ended already is found below
        with contextlib.suppress(OSError):
            process.stdin.write(task_line(task))
            process.stdin.flush()
        readers.append(threading.Thread(target=_read, args=(rank, process.stdout, events), daemon=True))
        readers[-1].start()
    errors: dict[int, str] = {}
    result: TrainResult | None = None
    ends: float | None = None
    while True:
        with contextlib.suppress(queue.Empty):
            while True:
                rank, event = events.get(timeout=_EVERY)
                result = _handled(event, job) or result
                if "error" in event:
                    errors[rank] = event["error"]
        codes = [process.poll() for process in ranks]
        if result is not None and codes == [0] * len(ranks):
            return result
        if any(codes) or (None not in codes):
            ends = ends or time.monotonic() + _GRACE
            # a process may have ended before what it said last was read here
            heard = not any(reader.is_alive() for reader in readers) and events.empty()
            if (None not in codes and heard) or time.monotonic() >= ends:
                raise TrainingError(_reason(codes, errors, Path(task.meeting)))


def task_line(task: RankTask) -> str:
    """Return a task as a process reads it."""
    # YAML reads a day of `calendars` as a date; as text it is what the file says
    return json.dumps(to_dict(task), default=str) + "\n"


def _read(rank: int, output: IO[str], events: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
    # of a process that is killed, the last line may be a part of one
    with contextlib.suppress(ValueError, OSError):
        for line in output:
            events.put((rank, json.loads(line)))


def _handled(event: dict[str, Any], job: Job) -> TrainResult | None:
    """Pass an event on to the job's observer; return the result, if it is that."""
    from elp_core.training import EpochRecord, TrainResult

    if job.observer and "step" in event:
        job.observer.on_step(*event["step"])
    if job.observer and "epoch" in event:
        job.observer.on_epoch(*event["epoch"])
    if "result" not in event:
        return None
    values = event["result"]
    values["history"] = tuple(EpochRecord(**entry) for entry in values["history"])
    return TrainResult(**{**values, "excluded": tuple(values["excluded"])})


def _reason(codes: Sequence[int | None], errors: dict[int, str], folder: Path) -> str:
    if errors:
        # what one process reports is the cause; the others lost their connection to it
        return errors[min(errors)]
    rank = next((rank for rank, code in enumerate(codes) if code and code < 0), None)
    if rank is None:
        rank = next((rank for rank, code in enumerate(codes) if code), 0)
    code, how = codes[rank], "ended without a result"
    if code:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    said = (folder / f"{rank}.log").read_bytes()[-_LOG_BYTES:].decode("utf-8", "replace").strip()
    last = said.splitlines()[-1] if said else "it wrote nothing"
    return (
        f"process {rank} of the {len(codes)} that train together {how}, and the others were stopped ({last}); "
        "start the training again: it continues from its checkpoint"
    )
