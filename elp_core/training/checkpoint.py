"""Checkpoints: one safetensors file with the progress as JSON in its header; written whole or not at all, no pickle.

m.<name>                the model's trainable tensors
best.<name>             those of the best epoch so far
o.<slot>.<name>         the optimizer's moments (exp_avg, exp_avg_sq) and step counts
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from elp_core.config import TrainConfig, to_dict
from elp_core.errors import CheckpointError
from elp_core.files import replacing
from elp_core.methods.config import method_to_dict
from elp_core.model import ElpModel
from elp_core.types import Clip

FILE = "checkpoint.safetensors"
FORMAT = 1
_WITHOUT_EFFECT = ("checkpoint_minutes", "init", "warm")
"""Settings that may change while a run is interrupted: how often it is saved, and where it was to start."""


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to continue."""

    tensors: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]
    moments: Mapping[str, torch.Tensor]
    progress: Mapping[str, Any]
    """JSON values."""


def run_digest(model: ElpModel, clips: Sequence[Clip], validation: Sequence[Clip], config: TrainConfig) -> str:
    """Return the SHA-256 (hex) of what identifies a run; only the same run may continue from a checkpoint."""

    def facts_of(chosen: Sequence[Clip]) -> list[tuple[str, ...]]:
        return sorted((clip.id, clip.text, clip.speaker, clip.label) for clip in chosen)

    facts = {
        "backbone": model.backbone.fingerprint,
        "shapes": {name: list(parameter.shape) for name, parameter in sorted(model.trainable().items())},
        "task": model.task.to_json(),
        "method": method_to_dict(model.config),
        "train": facts_of(clips),
        "validation": facts_of(validation),
        "config": {key: value for key, value in to_dict(config).items() if key not in _WITHOUT_EFFECT},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint, run: str) -> Path:
    """Write `checkpoint` of the run with the digest `run` into `folder`, in place of the previous one.

    Raises:
        CheckpointError: The file cannot be written; the previous one is unchanged.
    """
    parts = {"m": checkpoint.tensors, "best": checkpoint.best, "o": checkpoint.moments}
    tensors = {
        # copied, because safetensors refuses tensors that share memory or have gaps
        f"{part}.{name}": value.detach().to("cpu", copy=True).contiguous()
        for part, values in parts.items()
        for name, value in values.items()
    }
    header = {"format": FORMAT, "run": run, "progress": dict(checkpoint.progress)}
    try:
        with replacing(folder / FILE) as temporary:
            save_file(tensors, temporary, metadata={"elp": json.dumps(header, sort_keys=True)})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"the checkpoint cannot be written to {folder}: {error}; the previous one is kept: free some space or "
            "permit writing there, and train again to continue from it"
        ) from error
    return folder / FILE


def load_checkpoint(folder: Path, run: str) -> Checkpoint | None:
    """Return the checkpoint in `folder`, or None if there is none.

    Raises:
        CheckpointError: The file is damaged, of another format, or of another run.
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
    own, best, slots = (
        {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
        for part in ("m.", "best.", "o.")
    )
    return Checkpoint(own, best, slots, header["progress"])


def moments(optimizer: torch.optim.Optimizer, names: Mapping[torch.Tensor, str]) -> dict[str, torch.Tensor]:
    """Return the optimizer's state as ``<slot>.<parameter name>`` tensors."""
    return {
        f"{slot}.{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for slot, value in state.items()
    }


def restore_moments(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter], saved: Mapping[str, torch.Tensor]
) -> None:
    """Put the tensors of `moments` back into the optimizer."""
    for key, value in saved.items():
        slot, _, name = key.partition(".")
        parameter = parameters[name]
        optimizer.state[parameter][slot] = value.to(parameter.device) if slot != "step" else value
