"""A registered adapter as an MLflow pyfunc: `mlflow.pyfunc.load_model("models:/elp.plant-a.asr@champion")`.

MLflow copies this file next to the bundle and runs it to load the model, so it may import `elp_core` only. The backbone
is not in the registry: it is loaded by the id in the bundle, or from the path in the environment variable ELP_BACKBONE,
and refused if it has another fingerprint.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from elp_core import audio
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, verify_bundle
from elp_core.errors import AudioError
from elp_core.inference import predict


class AdapterModel(PythonModel):  # type: ignore[misc]
    """One adapter on its backbone."""

    # MLflow would turn the type of model_input into a schema, or warn that it cannot: waveforms of any length have none
    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        """Verify the bundle, load its backbone, and attach the adapter to it."""
        folder = Path(context.artifacts["bundle"])
        manifest = verify_bundle(folder)
        backbone = Backbone.from_pretrained(os.environ.get("ELP_BACKBONE") or manifest.backbone_id)
        self.model = load_bundle(folder, backbone)

    def predict(self, context: Any, model_input, params: Any = None) -> list[Any]:  # type: ignore[no-untyped-def]
        """Return the task's answer for each input: a transcript, a class, or a unit-norm embedding (ASV).

        Args:
            context: MLflow's; unused after loading.
            model_input: Paths of audio files, encoded audio as bytes (in JSON as base64), or float32 mono 16 kHz
                arrays [samples]; a list, or a DataFrame whose first column holds them. A file whose channels differ is
                refused: choose one with `elp_core.audio.load`.
            params: None are known.
        """
        return predict(self.model, [_waveform(item) for item in _items(model_input)])


def _items(model_input: Any) -> Sequence[Any]:
    if isinstance(model_input, np.ndarray) and model_input.dtype.kind == "f":
        return [model_input] if model_input.ndim == 1 else list(model_input)
    if hasattr(model_input, "iloc"):
        return list(model_input.iloc[:, 0])
    return [model_input] if isinstance(model_input, str | bytes | Path) else list(model_input)


def _waveform(item: Any) -> np.ndarray[Any, Any]:
    if isinstance(item, str):
        item = _from_base64(item) or Path(item)
    if isinstance(item, bytes | Path):
        return audio.load(item, "same")
    return np.asarray(item, dtype=np.float32)


def _from_base64(text: str) -> bytes:
    """Return the encoded audio that a text of JSON carries; empty if it carries none and may be the path of a file.

    Raises:
        AudioError: It is too long for the name of a file, and no encoded audio.
    """
    if os.path.exists(text):
        return b""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
        audio.probe(content)
    except (ValueError, AudioError) as error:
        # as the name of a missing file, megabytes of it would be in the message
        if len(text) > 255:
            what = f"{text[:40]}… ({len(text):,} characters)"
            raise AudioError("corrupt", f"{what} is no file here and no audio in base64; send it again") from error
        return b""
    return content


set_model(AdapterModel())
