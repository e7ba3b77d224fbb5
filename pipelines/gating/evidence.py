"""The evidence of a verdict: the file evidence.json, from which anyone can decide again.

It holds the verdict with its policy and measurements, the scores of both systems by clip or trial, and the context.
Text columns of the scores are lists; numbers are zlib-compressed little-endian bytes in base64.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError, OpsError
from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.gating.compare import Scores
from pipelines.gating.decide import decide_verdict
from pipelines.registry.policies import current_gate_names
from pipelines.registry.verdict import Verdict

FORMAT = 3
READABLE = (1, 2, FORMAT)
"""In format 1, verdicts follow from scores and checks alone, without measurements. Format 2 has some older names."""
EVIDENCE_FILE = "evidence.json"
_RENAMED = {"beside_stand_in": "with_stand_in", "beside_challenger": "with_challenger"}
_TEXTS: dict[type, tuple[str, ...]] = {
    ClipScores: ("ids", "speakers", "conditions", "hypotheses", "references"),
    TrialScores: ("ids", "speakers", "conditions"),
}
_NUMBERS: dict[type, dict[str, tuple[str, str]]] = {
    ClipScores: {"errors": ("errors", "<i8"), "tokens": ("words", "<i8")},
    TrialScores: {"a": ("a", "<i4"), "b": ("b", "<i4"), "scores": ("scores", "<f8"), "targets": ("targets", "|b1")},
}
"""Key in the file and type of each column. The file has named tokens "words" since format 1."""
_KINDS: dict[str, Any] = {"clips": ClipScores, "trials": TrialScores}


@dataclass(frozen=True)
class EvidenceContext:
    """Names for the reader of the evidence. Nothing is decided from them."""

    slot: str = ""
    challenger: str = ""
    champion: str = ""
    challenger_bundle: str = ""
    champion_bundle: str = ""
    golden: Mapping[str, Any] = field(default_factory=dict)
    """Tag, digest and Git revision of the golden set."""
    backbone: Mapping[str, str] = field(default_factory=dict)
    """Id and fingerprint."""
    policy_digest: str = ""
    challenger_also: Mapping[str, float] = field(default_factory=dict)
    """Further metrics of the challenger."""
    champion_also: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """A verdict and everything it was decided from."""

    verdict: Verdict
    challenger: Scores
    champion: Scores | None
    context: EvidenceContext

    def to_bytes(self) -> bytes:
        """Return the content of evidence.json."""
        values = {
            "format": FORMAT,
            "verdict": self.verdict.to_json(),
            "challenger": pack(self.challenger),
            "champion": pack(self.champion) if self.champion else None,
            "context": {key: value for key, value in asdict(self.context).items() if value or key == "champion"},
        }
        return (json.dumps(values, sort_keys=True) + "\n").encode()

    def recompute(self) -> Verdict:
        """Decide again from the scores: the result equals `verdict` unless one of the two was changed.

        Facts (checks that are not derived) and measurements are used as recorded; the limits are applied again.
        """
        recorded = self.verdict
        facts = [check for check in recorded.checks if not check.derived]
        return decide_verdict(
            self.challenger,
            self.champion,
            recorded.policy,
            facts,
            closed_set=recorded.closed_set,
            measured=recorded.measured,
        )


def read_evidence(path: Path) -> Evidence:
    """Read an evidence file, or the one in a folder.

    Raises:
        OpsError: The file is missing, malformed, or of an unknown format.
        CorpusError: Its scores are damaged.
        ConfigError: Its verdict is damaged.
    """
    file = path / EVIDENCE_FILE if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        written = values["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OpsError(f"{file} is not gate evidence: {error!r}; gate the version again") from error
    if written not in READABLE:
        raise OpsError(f"{file} has format {written}, this program reads {FORMAT}; use the program that wrote it")
    champion = unpack(values["champion"]) if values.get("champion") else None
    verdict = Verdict.from_json(_with_current_names(values["verdict"]))
    known = {item.name for item in fields(EvidenceContext)}
    context = {key: value for key, value in values.get("context", {}).items() if key in known}
    return Evidence(verdict, unpack(values["challenger"]), champion, EvidenceContext(**context))


def same_decision(one: Verdict, other: Verdict) -> bool:
    """Return whether two verdicts are equal except for their sentences.

    The wording may change between releases, so evidence of an older release is decided again with other sentences.
    """

    def without_sentences(verdict: Verdict) -> Verdict:
        checks = tuple(replace(check, detail="") for check in verdict.checks)
        slices = tuple(replace(part, note="") for part in verdict.slices)
        return replace(verdict, reasons=(), checks=checks, slices=slices)

    return without_sentences(one) == without_sentences(other)


def pack(scores: Scores) -> dict[str, Any]:
    """Return `scores` as JSON values; `unpack` gives back equal scores, bit for bit."""
    kind = type(scores)
    packed: dict[str, Any] = {"kind": "clips" if kind is ClipScores else "trials"}
    packed |= {name: list(getattr(scores, name)) for name in _TEXTS[kind]}
    if isinstance(scores, ClipScores):
        packed["metric"] = scores.metric
    return packed | {key: _encode(getattr(scores, name), dtype) for name, (key, dtype) in _NUMBERS[kind].items()}


def unpack(values: Mapping[str, Any]) -> Scores:
    """Read what `pack` returned.

    Raises:
        CorpusError: The values are not packed scores.
    """
    try:
        kind = _KINDS[values["kind"]]
        columns: dict[str, Any] = {name: tuple(values[name]) for name in _TEXTS[kind]}
        columns |= {name: _decode(values[key], dtype) for name, (key, dtype) in _NUMBERS[kind].items()}
        if kind is ClipScores:
            columns["metric"] = str(values.get("metric", "wer"))  # evidence of the first release has word errors only
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise CorpusError(f"these are not packed scores: {error!r}; download the evidence again") from error
    unpacked: Scores = kind(**columns)
    return unpacked


def _with_current_names(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verdict's values with the present names of fields that formats 1 and 2 named differently."""
    checks = [
        {**one, "name": "interference" if one["name"] == "other slots" else one["name"]} for one in verdict["checks"]
    ]
    values = {**verdict, "checks": checks, "policy": current_gate_names(verdict["policy"])}
    measured = values.get("measured")
    if measured and "neighbourhood" in measured:
        found = measured["neighbourhood"]
        compared = [{_RENAMED.get(key, key): value for key, value in one.items()} for one in found["compared"]]
        measured = {key: value for key, value in measured.items() if key != "neighbourhood"}
        values["measured"] = {**measured, "interference": {**found, "compared": compared}}
    return values


def _encode(array: npt.NDArray[Any], dtype: str) -> str:
    return base64.b64encode(zlib.compress(array.astype(dtype).tobytes(), 9)).decode("ascii")


def _decode(text: str, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype)
