"""Checkpoints: one safetensors file, its header holding the progress as JSON; written whole or not at all, no pickle.

m.<name>                the model's trainable tensors
best.<name>             those of the best epoch so far
o.<slot>.<name>         the optimizer's moments (exp_avg, exp_avg_sq) and step counts
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from elp_core.errors import CheckpointError

FILE = "checkpoint.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on."""

    tensors: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]
    moments: Mapping[str, torch.Tensor]
    progress: Mapping[str, Any]
    """JSON values."""


def write_checkpoint(folder: Path, checkpoint: Checkpoint, run: str) -> Path:
    """Write `checkpoint` into `folder` in place of the one there.

    Args:
        folder: made where it is missing.
        checkpoint: what to keep.
        run: digest of what is trained; only the same run can go on from it.

    Raises:
        CheckpointError: where it cannot be written; the previous one is still there.
    """
    parts = {"m": checkpoint.tensors, "best": checkpoint.best, "o": checkpoint.moments}
    tensors = {
        f"{part}.{name}": value.detach().to("cpu", copy=True).contiguous()
        for part, values in parts.items()
        for name, value in values.items()
    }
    header = {"format": FORMAT, "run": run, "progress": dict(checkpoint.progress)}
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
        os.close(handle)
        temporary = Path(name)
        save_file(tensors, temporary, metadata={"elp": json.dumps(header, sort_keys=True)})
        os.replace(temporary, folder / FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"the checkpoint cannot be written to {folder}: {error}; the previous one is kept: free some space or "
            "permit writing there, and train again to go on from it"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return folder / FILE


def read_checkpoint(folder: Path, run: str) -> Checkpoint | None:
    """The checkpoint in `folder`, or None where there is none.

    Raises:
        CheckpointError: where it is damaged, of another format, or of another run.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as opened:
            header, names = json.loads(opened.metadata()["elp"]), opened.keys()
            tensors = {name: opened.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}; delete it to train from the start") from error
    if header.get("format") != FORMAT or header.get("run") != run:
        raise CheckpointError(
            f"{path} belongs to another training (other clips, configuration, backbone or version of this program); "
            "delete it, or train into another folder"
        )
    parts: dict[str, dict[str, torch.Tensor]] = {"m": {}, "best": {}, "o": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    return Checkpoint(parts["m"], parts["best"], parts["o"], header["progress"])


def moments(optimizer: torch.optim.Optimizer, names: Mapping[torch.Tensor, str]) -> dict[str, torch.Tensor]:
    """The optimizer's state as ``<slot>.<parameter name>`` tensors."""
    return {
        f"{slot}.{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for slot, value in state.items()
    }


def restore_moments(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter], saved: Mapping[str, torch.Tensor]
) -> None:
    """The inverse of `moments`."""
    for key, value in saved.items():
        slot, _, name = key.partition(".")
        parameter = parameters[name]
        optimizer.state[parameter][slot] = value.to(parameter.device) if slot != "step" else value
