"""One training over several processes: each takes a part of every batch, and all step by the same gradient.

`accelerate launch` (GPUs) or `torchrun` (CPUs too) starts the processes; alone, nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from elp_core.assemble import answers, evaluate
from elp_core.config import TrainConfig
from elp_core.data.features import FeatureCache
from elp_core.model import ElpModel
from elp_core.types import Clip


def make_accelerator(device: torch.device, config: TrainConfig) -> Any:
    """Accelerate's view of this process; its `device` is where the process trains."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # accelerate keeps the precision of a process's first run for all others
    AcceleratorState._reset_state(reset_partial_state=True)
    on_gpu = device.type == "cuda"
    return Accelerator(cpu=not on_gpu, mixed_precision=config.precision if on_gpu else "no")


def sum_gradients(accelerator: Any, parameters: Iterable[torch.nn.Parameter]) -> None:
    """Add up all processes' gradients; a process where a tensor has none adds nothing to it.

    Where the loss of each process is weighted by its share of the batch, the sum is the gradient of the whole batch.
    """
    if accelerator.num_processes == 1:
        return
    learned = list(parameters)
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
    total = accelerator.reduce(torch.cat([part.flatten() for part in parts]), reduction="sum")
    for parameter, part in zip(learned, total.split([part.numel() for part in parts]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def sum_loss(accelerator: Any, loss: torch.Tensor) -> float:
    """The weighted losses (each a scalar [1]) of all processes, added up."""
    loss = loss.detach().float()
    return float(loss if accelerator.num_processes == 1 else accelerator.reduce(loss.clone(), reduction="sum"))


def validate(
    accelerator: Any, model: ElpModel, clips: Sequence[Clip], config: TrainConfig, heard: FeatureCache
) -> float:
    """The task's metric on `clips`, each process answering a part of them; the same value for all."""
    count, seconds, device = accelerator.num_processes, config.batch_seconds, config.device
    if count == 1:
        return evaluate(model, clips, seconds, device, heard).value
    from accelerate.utils import gather_object

    mine = answers(model, clips[accelerator.process_index :: count], seconds, device, heard)
    found = dict(gather_object(list(mine.items())))
    return model.task.evaluate(found, clips, model.head).value
