"""One GPU, one job: a process holds a kernel lock on a file named by the GPU's UUID before it uses the GPU.

The kernel frees the lock when the process ends in any way. A GPU that is divided into N shares has N files, and a
process that wants the whole GPU waits for none of them:

| file | held by |
|---|---|
| `<UUID>.lock` | the process that has the whole GPU; shared by those that have a share |
| `<UUID>.<n>.lock` | the process that has share n of N |

docs/adr/0019-one-gpu-one-job.md has the reasons.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ServiceError
from pipelines.local.gpus import PRETENDED, Gpu, find_gpus
from pipelines.locks import hold_until_exit, is_free, let_go, note_in_lock

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""CUDA's own variable: the GPUs that a process may use. Empty means none."""
SWITCH, FOLDER, SHARES = "ELP_GPU_LOCK", "ELP_GPU_LOCKS", "ELP_GPU_SHARES"
"""Environment variables: ``off`` for a cluster that gives out the GPUs itself; the folder of the locks; jobs at once
on one GPU."""
OWN_VARIABLES = frozenset(
    {VISIBLE, "NVIDIA_VISIBLE_DEVICES", SWITCH, FOLDER, SHARES, PRETENDED, "ELP_WORKER", "ELP_WORKER_HOME"}
)
"""What a run must not set: it would use a GPU that another job has, or would not be found when its worker ends."""

_MACHINE_WIDE = Path("/run/lock")
_ALIKE = 0.98
"""Of the memory of a GPU: another one with so much counts as equally large."""
_NONE = ("", "-1", "none", "nodevfiles")


@dataclass(frozen=True)
class GpuClaim:
    """The answer to a process that asks for GPUs."""

    gpu: str = ""
    """The UUID that this process holds, or several with commas; empty if it needs none, or got none."""
    taken: str = ""
    """Why it got none: a clause that names the GPU and its holder."""


def hold_gpu(run: str = "", number: int = 1) -> GpuClaim:
    """Hold a GPU that this process may use until the process ends; never wait for one.

    Without a GPU, or with an empty CUDA_VISIBLE_DEVICES, nothing is held. Otherwise CUDA_VISIBLE_DEVICES is set to the
    UUID that is held, so that CUDA shows no other; call this before CUDA is used. `run` is the flow run, for people.

    A process that asks for a `number` of GPUs gets all or none, and after those that it may use, any of this machine
    that have as much memory. One that holds a GPU already can ask for more.

    Raises ServiceError if this machine has fewer GPUs, or if the folder of the locks cannot be used: nothing is trained
    without the lock.
    """
    if os.environ.get(SWITCH, "").lower() == "off":
        return GpuClaim()
    wanted = _allowed()
    if not wanted:
        return GpuClaim()
    if number > 1:
        wanted = _with_others(wanted if VISIBLE in os.environ else (), number)
        if len(wanted) < number:
            raise ServiceError(
                f"the run needs {number} GPUs, and this machine has {len(wanted)} with the memory of the worker's own; "
                "set compute.processes to what its workers have"
            )
    try:
        folder = lock_folder()
        shares, held = _shares(), dict[str, Path]()
        if number == 1 and shares > 1:
            # the fewest jobs first: the shares of one GPU would be used up while the next one is idle
            wanted = sorted(wanted, key=lambda uuid: _jobs(folder, uuid, shares))
        for uuid in wanted:
            if len(held) < number and (path := _hold(folder, uuid, shares)):
                held[uuid] = path
        if len(held) == number:
            note = {"pid": os.getpid(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "run": run}
            for path in held.values():
                note_in_lock(path, json.dumps(note) + "\n")
            os.environ[VISIBLE] = ",".join(held)
            return GpuClaim(os.environ[VISIBLE])
        for uuid, path in held.items():
            # none is kept while others are waited for: two such runs would wait for each other
            for file in {path, _file(folder, uuid)}:
                let_go(file)
        return GpuClaim(
            taken="; ".join(f"{uuid} is in use{_holder(folder, uuid)}" for uuid in wanted if uuid not in held)
        )
    except OSError as error:
        raise ServiceError(
            f"the lock of the GPU cannot be taken: {error.filename or lock_folder()}: {error.strerror}; set {FOLDER} "
            "to a folder of this machine where all its workers may write"
        ) from error


def lock_folder() -> Path:
    """Return the folder of the locks, which all workers of this machine share; it is made if it is missing."""
    named = os.environ.get(FOLDER)
    wide = _MACHINE_WIDE if os.access(_MACHINE_WIDE, os.W_OK) else Path(tempfile.gettempdir())
    folder = Path(named) if named else wide / "elp-gpu"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        # workers of several users share it, and none deletes what another one has made
        folder.chmod(0o777 | stat.S_ISVTX)
    return folder


def _allowed() -> Sequence[str]:
    """Return the UUIDs of the GPUs of which this process may use one."""
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return [gpu.uuid for gpu in _known()]
    names = [name.strip() for name in visible.split(",")]
    if names[0].lower() in _NONE:
        return []
    return list(dict.fromkeys(uuid for uuid in map(_full_name, names) if uuid))


def _with_others(own: Sequence[str], number: int) -> list[str]:
    """Return some GPUs, then the others of this machine that have the memory of the smallest of them.

    The work queue of a run is chosen by what one of its processes needs. Without GPUs of its own, as with `elp up`, a
    run gets as many of the largest ones as it needs.
    """
    memory = {gpu.uuid: gpu.gib for gpu in _known()}
    largest = sorted(memory.values(), reverse=True)[:number]
    # cards of one model may differ by some MiB
    least = _ALIKE * min([memory[uuid] for uuid in own if uuid in memory] or largest, default=0.0)
    return list(dict.fromkeys([*own, *(uuid for uuid, gib in memory.items() if gib >= least)]))


def _full_name(name: str) -> str:
    """Return the UUID of a GPU as CUDA_VISIBLE_DEVICES names it: a number, or the beginning of the UUID."""
    if name.isdigit():
        gpus = _known()
        return gpus[int(name)].uuid if int(name) < len(gpus) else ""
    if len(name) >= len("GPU-00000000-0000-0000-0000-000000000000"):
        return name
    begin = [gpu.uuid for gpu in _known() if gpu.uuid.startswith(name)]
    return begin[0] if len(begin) == 1 else name


def _known() -> Sequence[Gpu]:
    try:
        return find_gpus()
    except ServiceError:
        # a training by hand, or by Prefect's own worker, works as without this lock; `elp doctor` names the fault
        return ()


def _shares() -> int:
    text = os.environ.get(SHARES, "1")
    if not text.isdigit() or not int(text):
        raise ServiceError(f"{SHARES} is {text!r}; expected how many jobs share one GPU, 1 or more")
    return int(text)


def _hold(folder: Path, uuid: str, shares: int) -> Path | None:
    """Hold the GPU or one share of it; return the file that names the holder, or None if all are taken."""
    whole = _file(folder, uuid)
    if not hold_until_exit(whole, shared=shares > 1):
        return None
    if shares == 1:
        return whole
    for number in range(1, shares + 1):
        if hold_until_exit(part := _file(folder, uuid, f".{number}")):
            return part
    let_go(whole)
    return None


def _jobs(folder: Path, uuid: str, shares: int) -> int:
    """Return how many shares of a GPU are in use."""
    return sum(not is_free(_file(folder, uuid, f".{number}")) for number in range(1, shares + 1))


def _file(folder: Path, uuid: str, share: str = "") -> Path:
    # the UUID of a MIG device has slashes with older drivers
    return folder / f"{uuid.replace('/', '_')}{share}.lock"


def _holder(folder: Path, uuid: str) -> str:
    """Return who holds a GPU, such as `` by process 4711 (run 0190…)``; empty if the file does not say."""
    for path in (_file(folder, uuid), _file(folder, uuid, ".1")):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            return f" by process {note['pid']}" + (f" (run {note['run']})" if note["run"] else "")
        except (OSError, ValueError, TypeError, KeyError):
            # written after the lock is taken, and only for people
            continue
    return ""
