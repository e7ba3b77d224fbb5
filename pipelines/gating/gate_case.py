"""What the gate judges, and the names of its evidence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.datasets.dataset_version import GoldenRef
from pipelines.gating.evidence import EVIDENCE_FILE
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.adapter_version import AdapterVersion, GateRecord
from pipelines.registry.policies import policy_digest
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.slot import Slot

_DIGITS = 16
"""Of each digest in the name of an evidence folder."""


@dataclass(frozen=True)
class GateCase:
    """What is judged: two versions, one golden set, one policy."""

    slot: Slot
    settings: SlotSettings
    workspace: Settings
    """All settings, which name the backbones of the other slots."""
    backbone: str
    """Of the challenger, by name."""
    repository: str
    cache: Path
    challenger: AdapterVersion
    champion: AdapterVersion | None
    golden: GoldenRef
    serving: bool
    """The challenger is the present champion."""

    @property
    def record(self) -> GateRecord:
        """Return what the verdict is about, with an empty verdict, evidence and time."""
        return GateRecord(
            verdict="",
            bundle=self.challenger.bundle_digest,
            golden=self.golden.tag,
            golden_digest=self.golden.digest,
            champion=self.champion.version if self.champion else None,
            champion_bundle=self.champion.bundle_digest if self.champion else "",
            policy=policy_digest(self.settings.gate),
        )

    @property
    def folder(self) -> Path:
        """Return the folder on this machine with the evidence folders of all verdicts on the slot."""
        return self.cache / "verdicts" / self.slot.site / self.slot.task / "gate"

    def evidence_folder(self, digest: str) -> Path:
        """Return the evidence folder on this machine for an evidence.json with this SHA-256 (hex).

        It is named after its inputs and its content: two gates that judge the same at the same time measure other
        times, and neither may take the place of the other's evidence.
        """
        return self.folder / f"{self._name}-{digest[:_DIGITS]}"

    def judged_here(self) -> Path | None:
        """Return the whole evidence folder of a judgement of exactly these inputs on this machine, or None."""
        for folder in sorted(self.folder.glob(f"{self._name}-*")):
            file = folder / EVIDENCE_FILE
            if file.is_file() and self.evidence_folder(sha256(file.read_bytes())) == folder:
                return folder
        return None

    @property
    def _name(self) -> str:
        # not canonical JSON: the folders of verdicts in every registry have names of this digest
        key = hashlib.sha256(json.dumps(asdict(self.record), sort_keys=True).encode()).hexdigest()[:_DIGITS]
        return f"v{self.challenger.version}-{key}"
