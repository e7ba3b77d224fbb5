"""What a verdict rests on, to decide again from: evidence.json in the folder that `evidence_folder` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.errors import OpsError
from pipelines.gating.compare import Scores
from pipelines.gating.decide import decide
from pipelines.gating.pack import unpack
from pipelines.registry.verdict import Verdict

FORMAT = 2
READABLE = (1, FORMAT)
"""Format 1 knows no measurements: its verdicts rest on scores and checks alone."""
EVIDENCE_FILE = "evidence.json"


@dataclass(frozen=True)
class Evidence:
    """An evidence file, read."""

    verdict: Verdict
    challenger: Scores
    champion: Scores | None
    context: Mapping[str, Any]
    """Names for people and machines: slot, versions, bundles, golden set …; decides nothing."""


def read_evidence(path: Path) -> Evidence:
    """Read an evidence file, or the one in a folder.

    Raises:
        OpsError: where it is missing, malformed, or of another format.
        CorpusError: where its scores are damaged.
        ConfigError: where its verdict is.
    """
    file = path / EVIDENCE_FILE if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        written = values["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OpsError(f"{file} is no gate evidence: {error!r}; gate the version again") from error
    if written not in READABLE:
        raise OpsError(f"{file} has format {written}, this program reads {FORMAT}; use the program that wrote it")
    champion = unpack(values["champion"]) if values.get("champion") else None
    return Evidence(
        Verdict.from_json(values["verdict"]), unpack(values["challenger"]), champion, values.get("context", {})
    )


def recompute(path: Path) -> Verdict:
    """Decide again from an evidence file alone: equal to the verdict in it, unless somebody changed one of the two.

    Facts (checks that are not derived) and measurements are taken as they were found; limits are laid to them anew.

    Raises:
        OpsError: as `read_evidence`.
    """
    found = read_evidence(path)
    told = found.verdict
    facts = [check for check in told.checks if not check.derived]
    return decide(
        found.challenger, found.champion, told.policy, facts, closed_set=told.closed_set, measured=told.measured
    )
