"""What the registry knows of one adapter version: its tags by name, and what the gate recorded on it."""

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
    """Where MLflow keeps the model: ``models:/m-…``."""
    created: str
    """UTC, ISO 8601."""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    description: str = ""

    @property
    def name(self) -> str:
        """``SITE/TASK v3``, for people."""
        return f"{self.slot} v{self.version}"

    @property
    def bundle_digest(self) -> str:
        """``sha256:…`` of the bundle, as it was when it was registered."""
        return self.tags.get(Tags.BUNDLE, "")

    @property
    def key(self) -> str:
        """Training key: equal inputs have equal keys."""
        return self.tags.get(Tags.KEY, "")

    @property
    def status(self) -> str:
        """candidate, challenger, champion, retired or rejected; the aliases have the last word."""
        for alias in (CHAMPION, CHALLENGER):
            if alias in self.aliases:
                return alias
        written = self.tags.get(Tags.STATUS, "candidate")
        if written == CHAMPION:
            return "retired"
        return "candidate" if written == CHALLENGER else written

    @property
    def override(self) -> str:
        """Until when, by whom and why it is champion without a verdict that counts; empty where it is not."""
        return self.tags.get(Tags.OVERRIDE, "") if CHAMPION in self.aliases else ""

    @property
    def gate_record(self) -> GateRecord | None:
        """What the gate recorded, or None where this version was never gated."""
        text = self.tags.get(Tags.GATE, "")
        return GateRecord.from_json(text) if text else None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "slot": str(self.slot),
            "version": self.version,
            "status": self.status,
            "aliases": list(self.aliases),
            "run_id": self.run_id,
            "created": self.created,
            "tags": dict(self.tags),
        }
