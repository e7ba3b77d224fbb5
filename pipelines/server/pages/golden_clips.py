"""The content of the page about data: what signed lineages say of it, and the clips of a golden set.

A golden set's clips are read from the evidence of the newest verdict on it; the verdict signs the hash of that file.
The clips that an adapter was trained on are not on this server: its lineage names the digest of their ids, and DVC has
the clips.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from mlflow.exceptions import MlflowException

from elp_core.errors import ElpError
from elp_core.metrics.scores import ClipScores
from pipelines.number_text import errors_title
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.evidence_scores import Scores, unpack_scores
from pipelines.registry.signing.canonical_json import sha256
from pipelines.server.mlflow_private import served_artifacts
from pipelines.server.read_models.dependents import Dependents
from pipelines.server.read_models.signed_records import RecordedVerdict, verdicts
from pipelines.server.storage.artifact_bytes import run_location, served_path

_SHOWN = 500
"""Clips on one page; those with most errors come first."""


@dataclass(frozen=True)
class GoldenClips:
    """The clips of a golden set with the result of one version."""

    judged: RecordedVerdict
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """The clip's id first."""
    total: int = 0
    language: str = ""
    """Of reference and answer, as HTML names languages (BCP 47); empty for English, the language of the page."""
    fault: str = ""
    """Why the evidence cannot be read, or does not have the signed hash; empty if it does."""


def dataset_facts(page: Dependents, golden: bool) -> list[tuple[str, str]]:
    """Return names and values from the newest signed lineage that names the data; empty without one."""
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


def read_golden_clips(registry: sa.Connection, tag: str, page: Dependents) -> GoldenClips | None:
    """Read the clips of a golden set from its newest verdict, one on a champion if possible; None without a verdict."""
    runs = {one.version.model_version: one.version.run_id for one in page.dependents}
    champions = {one.version.model_version for one in page.dependents if CHAMPION in one.version.aliases}
    every = [one for found in verdicts(registry, runs).values() for one in found if one.statement.golden.tag == tag]
    judged = max(
        every, key=lambda one: ((one.statement.model, one.statement.version) in champions, one.at), default=None
    )
    if judged is None:
        return None
    verdict = judged.statement
    with tempfile.TemporaryDirectory(prefix="elp-console-") as scratch:
        try:
            run = run_location(runs[verdict.model, verdict.version])
            location = f"{run}/{verdict.evidence.path}"
            path = served_path(location)
            if path is None:
                raise OSError(f"it is at {location}, outside the artifact store of this server")
            content = Path(served_artifacts().download_artifacts(path, scratch)).read_bytes()
            if sha256(content) != verdict.evidence.sha256:
                return GoldenClips(judged, fault="the evidence in the artifact store is not the one that was signed")
            head, rows = _table(unpack_scores(json.loads(content)["challenger"]))
            language = verdict.normaliser.code if verdict.normaliser else ""
        except (ElpError, OSError, MlflowException, ValueError, LookupError) as error:
            return GoldenClips(judged, fault=f"the evidence cannot be read: {error}")
    return GoldenClips(judged, head, tuple(rows[:_SHOWN]), len(rows), language)


def _table(scores: Scores) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows, one row for each clip; if clips have errors of their own, most errors first."""
    if not isinstance(scores, ClipScores):
        known = sorted(zip(scores.speakers, scores.conditions, scores.ids, strict=True))
        return ("clip", "speaker", "condition"), [(clip, speaker, condition) for speaker, condition, clip in known]
    order = sorted(range(len(scores.ids)), key=lambda i: (-int(scores.errors[i]), scores.ids[i]))
    columns = scores.ids, scores.speakers, scores.conditions, scores.references, scores.hypotheses
    rows = [(*(column[i] for column in columns), f"{scores.errors[i]} of {scores.tokens[i]}") for i in order]
    return ("clip", "speaker", "condition", "reference", "recognised", errors_title(scores.counted)), rows
