"""One adapter version of the registry, parsed from MLflow, with its aliases, its tags and the record of the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.errors import RegistryError
from pipelines.registry.signing.canonical_json import canonical_json
from pipelines.registry.slot import Slot

CHAMPION = "champion"
CHALLENGER = "challenger"
"""The two MLflow aliases of a slot."""


class Tags:
    """Names of the tags on a version. The short values are listed first: a long hash hides what follows it."""

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
    PARENTS = "elp.parents"
    """Adapters that it learned from; a version that learned from none has no such tag."""
    GATE = "elp.gate"
    """JSON of `GateRecord`: what the verdict was about."""
    PROMOTED_AT = "elp.promoted_at"
    PROMOTED_BY = "elp.promoted_by"
    PROMOTED_WHY = "elp.promoted_why"
    PREDECESSOR = "elp.predecessor"
    """Version that was champion before this one."""
    OVERRIDE = "elp.override"
    """On a champion without a verdict that counts: until when, who asked, who approved, why."""


def report_address(server: str, slot: Slot | str, version: int) -> str:
    """Return the address at which the server `server` shows the gate's report on a version."""
    return f"{server.rstrip('/')}/elp/slots/{slot}/v{version}/report"


OPENED_TAG = "elp.opened"
"""Tag of a run: when its training was tried last, in milliseconds since the epoch. The run itself has its first
attempt."""


@dataclass(frozen=True)
class GateRecord:
    """What a verdict was about: it shows whether the verdict still holds."""

    verdict: str
    """passed, failed or undecided."""
    bundle: str
    """Digest of the bundle that was judged."""
    golden: str
    """Tag of the golden set."""
    golden_digest: str = ""
    champion: int | None = None
    """Version it was compared with; None if the slot had no champion."""
    champion_bundle: str = ""
    policy: str = ""
    """`policy_digest` of the limits that were applied."""
    evidence: str = ""
    """Folder of the evidence among the artifacts of the version's run."""
    decided_at: str = ""
    """UTC, ISO 8601."""

    def to_json(self) -> str:
        """Return canonical JSON, which `from_json` reads."""
        return canonical_json(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> GateRecord:
        """Read what `to_json` wrote; raise RegistryError for any other text."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise RegistryError(
                f"the tag {Tags.GATE} is not a gate record ({error}); gate the version again: elp gate"
            ) from error


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
        # the tag outlives the alias: a user can remove an alias in MLflow's page
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
