"""The page about data: what signed lineages say of a dataset version, and the clips of a golden set.

A golden set's clips are read from the evidence of the newest verdict on it, whose hash the verdict signs. The clips
that an adapter was trained on are not on this server: lineage names the digest of their ids, and DVC has them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from mlflow.exceptions import MlflowException

from elp_core.errors import ElpError
from elp_core.metrics.scores import ClipScores
from pipelines.gating.evidence import read_evidence
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.tags import CHAMPION
from pipelines.server.read_models import ledger_records as records
from pipelines.server.read_models.dependents import Shared
from pipelines.server.read_models.ledger_records import Judged
from pipelines.server.storage import artifact_bytes as served

_SHOWN = 500
"""Clips on one page; the worst heard come first."""


@dataclass(frozen=True)
class Heard:
    """The clips of a golden set with what one version made of them."""

    judged: Judged
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The clip's id first."""
    total: int
    fault: str
    """Why the evidence cannot be trusted or read; empty where its hash is the signed one."""


def facts(page: Shared, golden: bool) -> list[tuple[str, str]]:
    """Name and value, from the newest signed lineage that names the data; empty without any."""
    if page.origin is None:
        return []
    named = {material.name: material for material in page.origin.statement.materials}
    material = named.get("golden" if golden else "dataset")
    if material is None:
        return []
    found = [("tag", page.name)]
    if material.uri:
        found.append(("Git repository", material.uri))
    titles = {"gitCommit": "Git commit", "dvcMd5": "DVC hash (MD5)", "elpIds": "digest of the clips' ids"}
    found += [(titles.get(name, name), digest) for name, digest in material.digest.items()]
    if not golden and "clips" in named:
        found.append(("digest of the ids in training", next(iter(named["clips"].digest.values()))))
    flat = {name: value for name, value in material.annotations.items() if isinstance(value, str | int | float)}
    return found + [(name.replace("_", " "), f"{value}") for name, value in flat.items() if name != "tag"]


def heard(registry: sa.Connection, tag: str, page: Shared) -> Heard | None:
    """The clips of a golden set from the newest verdict on it, a champion's if there is one; None without any."""
    keys = {(one.version.slot.model_name, one.version.version): one.version.run_id for one in page.dependents}
    every = [judged for found in records.verdicts(registry, keys).values() for judged in found]
    serving = {(v.slot.model_name, v.version) for one in page.dependents if CHAMPION in (v := one.version).aliases}

    def order(one: Judged) -> tuple[bool, str]:
        return (one.statement.model, one.statement.version) in serving, one.at

    judged = max((one for one in every if one.statement.golden.tag == tag), key=order, default=None)
    if judged is None:
        return None
    told = judged.statement
    with tempfile.TemporaryDirectory(prefix="elp-console-") as scratch:
        try:
            run = served.run_location(keys[told.model, told.version])
            file = _fetch(f"{run}/{told.evidence.path}", Path(scratch))
            if sha256(file.read_bytes()) != told.evidence.sha256:
                return Heard(judged, (), (), 0, "the evidence in the artifact store is not the one that was signed")
            head, rows = _table(read_evidence(file).challenger)
        except (ElpError, OSError, MlflowException) as error:
            return Heard(judged, (), (), 0, f"the evidence cannot be read: {error}")
    return Heard(judged, head, tuple(rows[:_SHOWN]), len(rows), "")


def _fetch(location: str, folder: Path) -> Path:
    path = served.served_path(location)
    if path is None:
        raise OSError(f"it lies at {location}, outside the artifact store of this server")
    return Path(served.served_artifacts().download_artifacts(path, str(folder)))


def _table(scores: Any) -> tuple[tuple[str, ...], Sequence[tuple[str, ...]]]:
    """Head and rows: one row a clip, the worst first where each clip has errors of its own."""
    if not isinstance(scores, ClipScores):
        known = sorted(zip(scores.speakers, scores.conditions, scores.ids, strict=True))
        return ("clip", "speaker", "condition"), [(clip, speaker, where) for speaker, where, clip in known]
    order = sorted(range(len(scores.ids)), key=lambda i: (-int(scores.errors[i]), scores.ids[i]))
    columns = scores.ids, scores.speakers, scores.conditions, scores.references, scores.hypotheses
    rows = [(*(column[i] for column in columns), f"{scores.errors[i]} of {scores.tokens[i]}") for i in order]
    return ("clip", "speaker", "condition", "reference", "heard", "errors"), rows
