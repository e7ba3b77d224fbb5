"""Scores as compact JSON: text columns as lists, numbers as zlib-compressed little-endian bytes in base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.gating.compare import Scores

_TEXTS: dict[type, tuple[str, ...]] = {
    ClipScores: ("ids", "speakers", "conditions", "hypotheses", "references"),
    TrialScores: ("ids", "speakers", "conditions"),
}
_NUMBERS: dict[type, dict[str, tuple[str, str]]] = {
    ClipScores: {"errors": ("errors", "<i8"), "tokens": ("words", "<i8")},
    TrialScores: {"a": ("a", "<i4"), "b": ("b", "<i4"), "scores": ("scores", "<f8"), "targets": ("targets", "|b1")},
}
"""Key in the file and type of each column; the file's format has called tokens words from its start."""
_KINDS: dict[str, Any] = {"clips": ClipScores, "trials": TrialScores}


def pack(scores: Scores) -> dict[str, Any]:
    """JSON values of `scores`; `unpack` gives back equal scores, bit for bit."""
    kind = type(scores)
    packed: dict[str, Any] = {"kind": "clips" if kind is ClipScores else "trials"}
    packed |= {name: list(getattr(scores, name)) for name in _TEXTS[kind]}
    if isinstance(scores, ClipScores):
        packed["metric"] = scores.metric
    return packed | {key: _encode(getattr(scores, name), dtype) for name, (key, dtype) in _NUMBERS[kind].items()}


def unpack(values: Mapping[str, Any]) -> Scores:
    """The inverse of `pack`.

    Raises:
        CorpusError: where the values are no packed scores.
    """
    try:
        kind = _KINDS[values["kind"]]
        columns: dict[str, Any] = {name: tuple(values[name]) for name in _TEXTS[kind]}
        columns |= {name: _decode(values[key], dtype) for name, (key, dtype) in _NUMBERS[kind].items()}
        if kind is ClipScores:
            columns["metric"] = str(values.get("metric", "wer"))  # evidence of the first release is of words
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise CorpusError(f"these are no packed scores: {error!r}; fetch the evidence again") from error
    made: Scores = kind(**columns)
    return made


def _encode(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(zlib.compress(array.astype(dtype).tobytes(), 9)).decode("ascii")


def _decode(text: str, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype)
