"""Learning rates by parameter group, and their schedule over a run."""

from collections.abc import Mapping

import torch

from elp_core.config import TrainConfig


def group_of(name: str) -> str:
    """Return the group of a tensor: ``head`` (head.*), ``layer`` (l.*) or ``encoder`` (all else)."""
    return {"head": "head", "l": "layer"}.get(name.partition(".")[0], "encoder")


def make_optimizer(parameters: Mapping[str, torch.nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW with a rate for each group; weight decay on matrices only, never on biases or gains."""
    groups = []
    for group, rate in (("head", config.lr_head), ("layer", config.lr_layer), ("encoder", config.lr_encoder)):
        for matrices in (True, False):
            members = [p for n, p in sorted(parameters.items()) if group_of(n) == group and (p.ndim > 1) == matrices]
            if members:
                decay = config.weight_decay if matrices else 0.0
                groups.append({"params": members, "weight_decay": decay, "name": group, "peak": rate})
    # an adapter has many small tensors: a fused kernel reads and writes each of them once a step
    return torch.optim.AdamW(groups, lr=config.lr_head, betas=(0.9, 0.98), fused=True)


def set_rates(optimizer: torch.optim.Optimizer, done: float, warmup: float) -> dict[str, float]:
    """Set each group's rate for the share `done` (0 … 1) of the run: up over `warmup`, down to 0; return them."""
    factor = done / warmup if done < warmup else (1.0 - done) / (1.0 - warmup)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return {str(group["name"]): float(group["lr"]) for group in optimizer.param_groups}
