"""The Prefect process workers of a machine: one for each GPU, or one for the CPU, and one for the data work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import ServiceError
from pipelines.local.gpu_lock import SHARES, VISIBLE
from pipelines.local.gpu_need import QUEUES, SMALLEST, queues_for
from pipelines.local.gpus import Gpu, find_gpus

GPU_POOL, CPU_POOL = "elp-gpu", "elp-cpu"
WORKER = "ELP_WORKER"
"""Environment variable of a Prefect worker and its runs: the worker's name in Prefect."""

CPU_LIMIT = 4
"""Flow runs at once on the data pool: they wait for disks and for their children most of the time."""


@dataclass(frozen=True)
class WorkerSpec:
    """One Prefect process worker."""

    name: str
    """Name of its log, and of its process in the records, such as ``elp-gpu`` or ``elp-gpu.2``."""
    pool: str
    worker: str
    """Its name in Prefect."""
    limit: int
    """Flow runs at once."""
    gpu: str | None = None
    """UUID of its GPU; empty for a worker that must not use one, None if the machine has none."""
    queues: tuple[str, ...] = ()
    """Work queues that it takes runs from; empty means all of the pool."""

    def command(self) -> list[str]:
        """Return the command that starts it."""
        queues = [word for queue in self.queues for word in ("--work-queue", queue)]
        return [
            *(sys.executable, "-m", "pipelines.orchestration.quick_prefect", "worker", "start", "--pool", self.pool),
            *("--type", "process", "--name", self.worker, "--limit", str(self.limit), "--install-policy", "never"),
            *queues,
        ]

    def environment(self) -> dict[str, str]:
        """Return what its environment has in addition to that of all workers of the machine."""
        visible = {} if self.gpu is None else {VISIBLE: self.gpu}
        return {WORKER: self.worker} | visible | ({SHARES: str(self.limit)} if self.gpu else {})


def carried_queues() -> tuple[str, ...]:
    """Return the queues that this process can carry: those of the GPU that it may use, or of its share; else all."""
    visible = os.environ.get(VISIBLE)
    try:
        gpus = {gpu.uuid: gpu.gib for gpu in find_gpus()}
    except ServiceError:
        return ()
    if not gpus or visible == "":
        return tuple(QUEUES)
    gib = min((gpus.get(name, 0.0) for name in (visible or "").split(",")), default=0.0)
    return queues_for(gib / int(os.environ.get(SHARES, "1")))


def gpus_of_up(pool: str, runs: int) -> dict[str, str]:
    """Return what a worker of `elp up` has in addition on a machine with GPUs; `runs` trainings run at once.

    A run takes any GPU that is free; if there are more runs than GPUs, they share them.
    """
    try:
        gpus = find_gpus()
    except ServiceError:
        # as before there was a lock; `elp doctor` names the fault
        return {}
    if not gpus:
        return {}
    return {VISIBLE: ""} if pool == CPU_POOL else {SHARES: str(-(-runs // len(gpus)))}


def plan_workers(
    gpus: Sequence[Gpu],
    prefix: str,
    *,
    jobs: int = 1,
    shares: int = 1,
    cpu: bool = False,
    queues: Sequence[str] = (),
) -> list[WorkerSpec]:
    """Return the workers of a machine with these GPUs; without one, `jobs` runs at once train on the CPU.

    `prefix` is the machine's name in Prefect, `shares` how many jobs share one GPU. With `cpu`, no GPU is used. A
    worker with a GPU takes runs from the queues that its share can carry, one on the CPU from all, unless `queues`
    names others.
    """
    # data work never uses a GPU: it would meet a training there
    none = "" if gpus or cpu else None
    # not from the queue of a workspace: its runs need that folder
    data = WorkerSpec(CPU_POOL, CPU_POOL, f"{prefix}:{CPU_POOL}", CPU_LIMIT, none, (SMALLEST,))
    if not gpus:
        return [data, WorkerSpec(GPU_POOL, GPU_POOL, f"{prefix}:{GPU_POOL}", jobs, none, tuple(queues))]
    names = [GPU_POOL, *(f"{GPU_POOL}.{number}" for number in range(2, len(gpus) + 1))]
    found = zip(names, gpus, strict=True)
    return [
        data,
        *(
            WorkerSpec(
                name, GPU_POOL, f"{prefix}:{gpu.uuid}", shares, gpu.uuid, tuple(queues) or queues_for(gpu.gib / shares)
            )
            for name, gpu in found
        ),
    ]
