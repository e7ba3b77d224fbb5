"""What the registry knows of one adapter version: its tags by name, and what the gate recorded on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from elp_core.config import to_dict
from pipelines.errors import RegistryError
from pipelines.settings import GatePolicy, Slot

Status = Literal["candidate", "challenger", "champion", "retired", "rejected"]

CHAMPION = "champion"
CHALLENGER = "challenger"
"""The two MLflow aliases of a slot."""


class Tags:
    """Names of the tags on a version. Short ones sort first on the page: a long hash hides what follows it."""

    VERDICT = "elp.verdict"
    STATUS = "elp.status"
    METRIC = "elp.metric"
    VALUE = "elp.value"
    KEY = "elp.key"
    BUNDLE = "elp.bundle"
    BACKBONE = "elp.backbone"
    FINGERPRINT = "elp.fingerprint"
    DATASET = "elp.dataset"
    DVC_HASH = "elp.dvc_hash"
    REVISION = "elp.revision"
    GOLDEN = "elp.golden"
    CODE = "elp.code"
    DIRTY = "elp.dirty"
    SEED = "elp.seed"
    FLOW_RUN = "elp.flow_run"
    GATE = "elp.gate"
    """JSON of `GateRecord`: what the verdict was about."""
    PROMOTED_AT = "elp.promoted_at"
    PROMOTED_BY = "elp.promoted_by"
    PROMOTED_WHY = "elp.promoted_why"
    PREDECESSOR = "elp.predecessor"
    """Version that was champion before this one."""
    HISTORY = "elp.history"
    """JSON list: every time this version became champion or ceased to be."""


@dataclass(frozen=True)
class GateRecord:
    """What a verdict was about, so that it can be told whether it still holds."""

    verdict: str
    """passed, failed or undecided."""
    bundle: str
    """Digest of the bundle that was judged."""
    golden: str
    """Tag of the golden set."""
    golden_digest: str = ""
    champion: int | None = None
    """Version it was compared with; None where the slot had no champion."""
    champion_bundle: str = ""
    policy: str = ""
    """`policy_digest` of the limits that were asked."""
    evidence: str = ""
    """Folder of the evidence among the artifacts of the version's run."""
    decided_at: str = ""
    """UTC, ISO 8601."""

    def to_json(self) -> str:
        """Compact JSON; the inverse of `from_json`."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> GateRecord:
        """Read what `to_json` wrote.

        Raises:
            RegistryError: where the text is no such record.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise RegistryError(
                f"the tag {Tags.GATE} is no gate record ({error}); gate the version again: elp gate"
            ) from error


def policy_digest(policy: GatePolicy) -> str:
    """``sha256:…`` of a gate policy: whether a verdict was made under the limits that hold now."""
    canonical = json.dumps(to_dict(policy), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


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
