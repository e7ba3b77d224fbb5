"""Which run a checkpoint belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from elp_core.config import TrainConfig, to_dict
from elp_core.methods import method_to_dict
from elp_core.model import ElpModel
from elp_core.types import Clip


def run_digest(model: ElpModel, clips: Sequence[Clip], validation: Sequence[Clip], config: TrainConfig) -> str:
    """SHA-256 of what makes two runs the same: backbone, method, adapter shapes, task, clips and configuration."""

    def heard(chosen: Sequence[Clip]) -> list[tuple[str, ...]]:
        return sorted((clip.id, clip.text, clip.speaker, clip.label) for clip in chosen)

    facts = {
        "backbone": model.backbone.fingerprint,
        "shapes": {name: list(parameter.shape) for name, parameter in sorted(model.trainable().items())},
        "task": model.task.to_json(),
        "method": method_to_dict(model.config),
        "train": heard(clips),
        "validation": heard(validation),
        "config": {key: value for key, value in to_dict(config).items() if key != "checkpoint_minutes"},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
