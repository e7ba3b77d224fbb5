"""The stable parts of a verdict's evidence: packed scores, and the names of the plots.

The gate writes them and the server shows them. In packed scores, text columns are lists and numbers are zlib-compressed
little-endian bytes in base64.
"""

import base64
import zlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.registry.plain_json import shape_fault

Scores: TypeAlias = ClipScores | TrialScores
"""What a system scored on the golden set, clip by clip or trial by trial."""
PLOT_FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "wer": (("bootstrap.png", "How sure is this?"), ("by-condition.png", "WER by recording condition")),
    "cer": (("bootstrap.png", "How sure is this?"), ("by-condition.png", "CER by recording condition")),
    "eer": (("bootstrap.png", "How sure is this?"), ("det.png", "Detection error trade-off")),
    "error_rate": (
        ("bootstrap.png", "How sure is this?"),
        ("by-condition.png", "Error rate by recording condition"),
        ("confusion.png", "Which classes are confused"),
    ),
}
"""File and title of each plot next to the evidence, by metric."""

_MOST_BYTES = 2**30
"""Of one column: a hundred million trials. A small file can unpack to any size."""
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


def pack_scores(scores: Scores) -> dict[str, Any]:
    """Return the JSON values of `scores`; `unpack_scores` returns equal scores, bit for bit."""
    # fixed types and byte order: the evidence is hashed, and read on other machines
    kind = type(scores)
    packed: dict[str, Any] = {"kind": "clips" if kind is ClipScores else "trials"}
    packed |= {name: list(getattr(scores, name)) for name in _TEXTS[kind]}
    if any(scores.groups):
        # evidence without groups is that of older releases
        packed["groups"] = list(scores.groups)
    if isinstance(scores, ClipScores):
        packed["metric"] = scores.metric
    return packed | {key: _encode(getattr(scores, name), dtype) for name, (key, dtype) in _NUMBERS[kind].items()}


def unpack_scores(values: Mapping[str, Any]) -> Scores:
    """Return the scores that `pack_scores` packed; raise CorpusError for other values."""
    try:
        kind = _KINDS[values["kind"]]
        columns: dict[str, Any] = {name: tuple(values[name]) for name in _TEXTS[kind]}
        columns |= {name: _decode(values[key], dtype) for name, (key, dtype) in _NUMBERS[kind].items()}
        columns["groups"] = tuple(values.get("groups", ()))
        if kind is ClipScores:
            columns["metric"] = str(values.get("metric", "wer"))  # evidence of the first release is of words
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise CorpusError(f"these are not packed scores: {shape_fault(error)}; download the evidence again") from error
    made: Scores = kind(**columns)
    return made


def _encode(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(zlib.compress(array.astype(dtype).tobytes(), 9)).decode("ascii")


def _decode(text: str, dtype: str) -> npt.NDArray[Any]:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError(f"a column breaks off, or unpacks to more than {_MOST_BYTES // 2**20} MiB")
    return np.frombuffer(content, dtype)
