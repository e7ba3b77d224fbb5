"""The scores of both systems under one simulated condition, as evidence keeps them and the decision takes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.registry.evidence_scores import Scores, pack_scores, unpack_scores


@dataclass(frozen=True)
class SimulatedScores:
    """Challenger and champion on golden clips that were changed in the same way."""

    family: str
    severity: int
    challenger: Scores
    champion: Scores | None

    @property
    def name(self) -> str:
        """Return the name of its slice."""
        return f"{self.family} (simulated, severity {self.severity})"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        champion = pack_scores(self.champion) if self.champion else None
        return {
            "family": self.family,
            "severity": self.severity,
            "challenger": pack_scores(self.challenger),
            "champion": champion,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SimulatedScores":
        """Read what `to_json` returned; raises CorpusError for packed scores that are damaged."""
        champion = unpack_scores(values["champion"]) if values.get("champion") else None
        return cls(values["family"], values["severity"], unpack_scores(values["challenger"]), champion)
