"""The evidence of a verdict: the file evidence.json, from which anyone can decide again.

It holds the verdict with its policy and measurements, the scores of both systems by clip or trial, and the context.
`pipelines.registry.evidence_scores` has the form of the scores.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from elp_core.errors import OpsError
from pipelines.gating.decide import decide_verdict
from pipelines.gating.simulated_scores import SimulatedScores
from pipelines.registry.evidence_scores import Scores, pack_scores, unpack_scores
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.policies import current_gate_names
from pipelines.registry.verdict import Verdict

FORMAT = 3
READABLE = (1, 2, FORMAT)
"""In format 1, verdicts follow from scores and checks alone, without measurements. Format 2 has some older names."""
EVIDENCE_FILE = "evidence.json"
_RENAMED = {"beside_stand_in": "with_stand_in", "beside_challenger": "with_challenger"}


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
    simulated: tuple[SimulatedScores, ...] = ()
    """Both systems under simulated conditions, if the policy has some."""

    def to_bytes(self) -> bytes:
        """Return the content of evidence.json."""
        values = {
            "format": FORMAT,
            "verdict": self.verdict.to_json(),
            "challenger": pack_scores(self.challenger),
            "champion": pack_scores(self.champion) if self.champion else None,
            "context": {key: value for key, value in asdict(self.context).items() if value or key == "champion"},
        }
        if self.simulated:
            # evidence without them keeps its bytes
            values["simulated"] = [one.to_json() for one in self.simulated]
        return (json.dumps(values, sort_keys=True) + "\n").encode()

    def recompute(self) -> Verdict:
        """Decide again from the scores: the result equals `verdict` unless one of the two was changed.

        Facts (checks that are not derived) and measurements are used as recorded; the limits are applied again.
        """
        old, scores = self.verdict, (self.challenger, self.champion)
        facts = [check for check in old.checks if not check.derived]
        return decide_verdict(
            *scores,
            old.policy,
            facts,
            closed_set=old.closed_set,
            measured=old.measured,
            normaliser=old.normaliser,
            simulated=self.simulated,
        )


def read_evidence(path: Path) -> Evidence:
    """Read an evidence file, or the one in a folder; raises CorpusError or ConfigError for damaged content."""
    file = path / EVIDENCE_FILE if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        written = values["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OpsError(f"{file} is not gate evidence: {shape_fault(error)}; gate the version again") from error
    if written not in READABLE:
        raise OpsError(f"{file} has format {written}, this program reads {FORMAT}; use the program that wrote it")
    champion = unpack_scores(values["champion"]) if values.get("champion") else None
    verdict = Verdict.from_json(_with_current_names(values["verdict"]))
    # a later release may name more; nothing is decided from the context
    known = {item.name for item in fields(EvidenceContext)}
    context = {key: value for key, value in values.get("context", {}).items() if key in known}
    try:
        simulated = tuple(SimulatedScores.from_json(one) for one in values.get("simulated", ()))
    except (KeyError, TypeError, AttributeError) as error:
        raise OpsError(f"{file}: the simulated conditions are damaged: {shape_fault(error)}; gate again") from error
    return Evidence(verdict, unpack_scores(values["challenger"]), champion, EvidenceContext(**context), simulated)


def same_decision(one: Verdict, other: Verdict) -> bool:
    """Return whether two verdicts are equal except for their sentences.

    The wording may change between releases, so evidence of an older release is decided again with other sentences.
    """

    def without_sentences(verdict: Verdict) -> Verdict:
        checks = tuple(replace(check, detail="") for check in verdict.checks)
        slices = tuple(replace(part, note="") for part in verdict.slices)
        gaps = tuple(replace(gap, note="") for gap in verdict.gaps)
        return replace(verdict, reasons=(), checks=checks, slices=slices, gaps=gaps)

    return without_sentences(one) == without_sentences(other)


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
