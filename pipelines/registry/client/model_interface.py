"""What MLflow's pages and clients read of a model's use: its signature, and an example that it answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from elp_core.task_specs import TaskSpec

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_ANSWERS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "vector": {"type": "array", "items": {"type": "float"}},
}
_SECONDS, _HERTZ = 0.5, 440.0


def signature_of(spec: TaskSpec) -> ModelSignature:
    """Return the signature of a task's models: encoded audio in; out a text, or a vector of numbers."""
    import json

    from mlflow.models import Model

    schema = {
        "inputs": json.dumps([{"type": "binary", "required": True}]),
        "outputs": json.dumps([{**_ANSWERS[spec.answer], "required": True}]),
    }
    # MLflow would turn every input into a table of bytes, and refuse arrays. A signature of this kind leaves the input
    # to the model, which also takes paths and arrays
    read = Model.from_dict({"signature": schema, "is_signature_from_type_hint": True, "flavors": {}})
    assert read.signature is not None
    return read.signature


def example_input() -> list[bytes]:
    """Return half a second of a tone as FLAC: a recording of a person would stay in the registry after an erasure."""
    import numpy as np

    from elp_core.audio import encode_flac
    from elp_core.types import SAMPLE_RATE

    moments = np.arange(int(_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    return [encode_flac((0.1 * np.sin(2 * math.pi * _HERTZ * moments)).astype(np.float32))]
