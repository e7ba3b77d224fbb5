"""The names in the registry: aliases, tags, and the record of the gate on a version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from elp_core.config import to_dict
from pipelines.errors import RegistryError
from pipelines.registry.policies import RENAMED_LIMITS, GatePolicy
from pipelines.registry.signing.canonical_json import canonical_json, sha256

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
    GATE = "elp.gate"
    """JSON of `GateRecord`: what the verdict was about."""
    PROMOTED_AT = "elp.promoted_at"
    PROMOTED_BY = "elp.promoted_by"
    PROMOTED_WHY = "elp.promoted_why"
    PREDECESSOR = "elp.predecessor"
    """Version that was champion before this one."""
    OVERRIDE = "elp.override"
    """On a champion without a verdict that counts: until when, who asked, who approved, why."""


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
        """Read what `to_json` wrote.

        Raises:
            RegistryError: The text is not such a record.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise RegistryError(
                f"the tag {Tags.GATE} is not a gate record ({error}); gate the version again: elp gate"
            ) from error


def policy_digest(policy: GatePolicy) -> str:
    """Return the ``sha256:…`` of a gate policy, which shows whether a verdict was made under the present limits."""
    values = to_dict(policy)
    older = {new: old for old, new in RENAMED_LIMITS.items()}
    values["safety"] = {older.get(key, key): value for key, value in values["safety"].items()}
    return "sha256:" + sha256(canonical_json(values))
