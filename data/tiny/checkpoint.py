"""Checkpoints of an iteration: one safetensors file, replaced as a whole; no pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from tiny.files import write_tensors
from tiny.network import MaskedPredictor
from tiny.settings import RecipeError


@dataclass(frozen=True)
class Position:
    """The progress of an iteration."""

    step: int
    minutes: float
    """Wall clock spent training, over all its runs."""


def save(path: Path, model: MaskedPredictor, optimiser: torch.optim.Optimizer, position: Position) -> None:
    """Write weights, optimiser state and position."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    write_tensors(path, tensors, {"position": json.dumps(asdict(position))})


def load(path: Path, model: MaskedPredictor, optimiser: torch.optim.Optimizer) -> Position:
    """Restore what `save` wrote.

    Raises:
        RecipeError: The file is no checkpoint of this model.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            position, names = Position(**json.loads(stored.metadata()["position"])), stored.keys()
            tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in names}
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(weights)
    except Exception as error:
        raise RecipeError(f"{path} is no checkpoint of this model ({error}); delete it to start over") from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    if state:
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return position


def load_weights(path: Path, model: MaskedPredictor) -> None:
    """Restore the backbone alone; the head does not change.

    Raises:
        RecipeError: The weights do not fit.
    """
    with safe_open(path, framework="pt") as stored:
        prefix, names = "model.backbone.", stored.keys()
        weights = {n.removeprefix(prefix): stored.get_tensor(n) for n in names if n.startswith(prefix)}
    try:
        model.backbone.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(f"{path} holds another architecture than params.yaml asks for: {error}") from error
