"""One adapter version of the registry, parsed from MLflow, with its tags and the record of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHALLENGER, CHAMPION, GateRecord, Tags, policy_digest

__all__ = ["CHALLENGER", "CHAMPION", "AdapterVersion", "GateRecord", "Status", "Tags", "policy_digest"]

Status = Literal["candidate", "challenger", "champion", "retired", "rejected"]


@dataclass(frozen=True)
class AdapterVersion:
    """One registered version of a slot's adapter."""

    slot: Slot
    version: int
    run_id: str
    """MLflow run that trained it."""
    source: str
    """MLflow's address of the model: ``models:/m-…``."""
    created: str
    """UTC, ISO 8601."""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    description: str = ""

    @property
    def name(self) -> str:
        """The name for people: ``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"

    @property
    def model_version(self) -> tuple[str, int]:
        """Name of the registered model, and number: how MLflow's tables name the version."""
        return self.slot.model_name, self.version

    @property
    def backbone(self) -> str:
        """Id of the backbone; empty if no tag names it."""
        return self.tags.get(Tags.BACKBONE, "")

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` of the backbone's weights; empty if no tag names it."""
        return self.tags.get(Tags.FINGERPRINT, "")

    @property
    def dataset(self) -> str:
        """Tag of the dataset version; empty if no tag names it."""
        return self.tags.get(Tags.DATASET, "")

    @property
    def bundle_digest(self) -> str:
        """``sha256:…`` of the bundle at its registration."""
        return self.tags.get(Tags.BUNDLE, "")

    @property
    def key(self) -> str:
        """Training key: equal inputs have equal keys."""
        return self.tags.get(Tags.KEY, "")

    @property
    def status(self) -> str:
        """candidate, challenger, champion, retired or rejected. The aliases count more than the tag."""
        for alias in (CHAMPION, CHALLENGER):
            if alias in self.aliases:
                return alias
        written = self.tags.get(Tags.STATUS, "candidate")
        if written == CHAMPION:
            return "retired"
        return "candidate" if written == CHALLENGER else written

    @property
    def override(self) -> str:
        """Until when, by whom and why it is champion without a valid verdict; empty if it is not."""
        return self.tags.get(Tags.OVERRIDE, "") if CHAMPION in self.aliases else ""

    @property
    def gate_record(self) -> GateRecord | None:
        """The record of the gate, or None if the version was never gated."""
        text = self.tags.get(Tags.GATE, "")
        return GateRecord.from_json(text) if text else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            "slot": str(self.slot),
            "version": self.version,
            "status": self.status,
            "aliases": list(self.aliases),
            "run_id": self.run_id,
            "created": self.created,
            "tags": dict(self.tags),
        }
