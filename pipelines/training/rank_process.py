"""One of several processes that train one slot: `pipelines.training.ranks` starts them and is their only reader.

The first line of its input is the task, as JSON; the end of the input means that the parent has died, and ends it. The
process of rank 0 writes what happens to its output: a JSON object a line. Nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from elp_core.config import from_dict
from elp_core.errors import ElpError, TrainingError
from pipelines.registry.slot import Slot

TENSORS = "state.safetensors"
STORE = "rendezvous"
TIMEOUT_MINUTES = 10
"""How long a process waits for the others in one step before it gives up: one of them hangs."""


@dataclass(frozen=True)
class RankTask:
    """What every process of a training is given."""

    repository: str
    slot: str
    tag: str
    settings: Mapping[str, Any]
    """All of `elp.yaml`, as plain values."""
    mlflow_uri: str
    cache: str
    key: str
    """Training key that the parent has found: each process must find the same."""
    checkpoint: str
    features: str
    meeting: str
    """Folder for the file by which the processes find each other, and for the result."""
    processes: int


class _Sender:
    """An observer that writes a line for each event."""

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        send_event(self._answers, "step", [step, total, loss, dict(rates)])

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        send_event(self._answers, "epoch", [epoch, loss, value])


def send_event(answers: IO[str], name: str, content: Any) -> None:
    """Write one event."""
    answers.write(json.dumps({name: content}) + "\n")
    answers.flush()


def main() -> int:
    """Train as the task says; return the exit code."""
    task = from_dict(RankTask, json.loads(sys.stdin.readline()), "task")
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # what libraries print must not get among the answers
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        _train(task, answers)
    except ElpError as error:
        send_event(answers, "error", str(error))
        return 1
    return 0


def _end_with_the_parent() -> None:
    # a kill of the parent closes the pipe, whatever this process waits for
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _train(task: RankTask, answers: IO[str]) -> None:
    import torch
    from safetensors.torch import save_file
    from torch._C._distributed_c10d import FileStore

    from elp_core.assemble import pick_device
    from elp_core.training import train
    from pipelines.local.settings import Settings
    from pipelines.registry.client.connection import connect
    from pipelines.training.inputs import gather_inputs

    rank, slot, cache = int(os.environ["RANK"]), Slot.parse(task.slot), Path(task.cache)
    settings = from_dict(Settings, task.settings, "elp.yaml")
    (inputs,) = gather_inputs(connect(task.mlflow_uri), task.repository, {slot: task.tag}, settings, cache)
    if inputs.key != task.key:
        # another champion since, or other packages
        raise TrainingError(f"{slot}: the inputs changed while the training was started; start it again")
    config, data = inputs.settings.train, inputs.data
    backend = "nccl" if pick_device(config.device).type == "cuda" else "gloo"
    # a file, not a port: no other user of the machine can join, and no port can be taken
    store = FileStore(str(Path(task.meeting) / STORE), task.processes)
    torch.distributed.init_process_group(
        backend, store=store, rank=rank, world_size=task.processes, timeout=timedelta(minutes=TIMEOUT_MINUTES)
    )
    model, first = inputs.new_model(), rank == 0
    observer = _Sender(answers) if first else None
    folders = Path(task.checkpoint), Path(task.features)
    result = train(model, data.train, data.validation, config, observer, *folders)
    if first:
        save_file(model.state(), Path(task.meeting) / TENSORS)
        send_event(answers, "result", dataclasses.asdict(result))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
