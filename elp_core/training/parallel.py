"""One training over several processes: each has a part of every batch, and all step by the same gradient.

`accelerate launch` (GPUs) or `torchrun` (CPUs too) starts the processes. A single process communicates with none.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from elp_core.assemble import answer_clips, evaluate
from elp_core.config import TrainConfig
from elp_core.data.features import FeatureCache
from elp_core.model import ElpModel
from elp_core.private_names import forget_precision
from elp_core.types import Clip


def make_accelerator(device: torch.device, config: TrainConfig) -> Any:
    """Return Accelerate's view of this process; its `device` is the one that the process trains on."""
    from accelerate import Accelerator

    # accelerate applies the precision of a process's first run to all later runs
    forget_precision()
    on_gpu = device.type == "cuda"
    return Accelerator(cpu=not on_gpu, mixed_precision=config.precision if on_gpu else "no")


def sum_gradients(accelerator: Any, parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by the sum of all processes' gradients; a missing one counts as zero.

    If each process weights its loss by its share of the batch, the sum is the gradient of the whole batch.
    """
    if accelerator.num_processes == 1:
        return
    learned = list(parameters)
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
    # one message for all gradients: each message waits for the slowest process
    total = accelerator.reduce(torch.cat([part.flatten() for part in parts]), reduction="sum")
    for parameter, part in zip(learned, total.split([part.numel() for part in parts]), strict=True):
        # a view would keep the gradients of all tensors in memory as long as one of them is used
        parameter.grad = part.view_as(parameter).clone()


def sum_loss(accelerator: Any, loss: torch.Tensor) -> float:
    """Return the sum of all processes' weighted losses (each a scalar)."""
    loss = loss.detach().float()
    return float(loss if accelerator.num_processes == 1 else accelerator.reduce(loss.clone(), reduction="sum"))


def validate(
    accelerator: Any, model: ElpModel, clips: Sequence[Clip], config: TrainConfig, cache: FeatureCache
) -> float:
    """Return the task's metric on `clips`; each process answers a part of them, and all get the same value."""
    count, seconds, device = accelerator.num_processes, config.batch_seconds, config.device
    if count == 1:
        return evaluate(model, clips, seconds, device, cache).value
    from accelerate.utils import gather_object

    mine = answer_clips(model, clips[accelerator.process_index :: count], seconds, device, cache)
    found = dict(gather_object(list(mine.items())))
    return model.task.evaluate(found, clips, model.head).value
