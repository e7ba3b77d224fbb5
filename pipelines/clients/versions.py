"""What the registry knows of one adapter version: its tags by name, and what the gate recorded on it."""

from __future__ import annotations

from pipelines.tags import CHALLENGER, CHAMPION, GateRecord, Tags, policy_digest
from pipelines.versions import AdapterVersion, Status

__all__ = ["CHALLENGER", "CHAMPION", "AdapterVersion", "GateRecord", "Status", "Tags", "policy_digest"]
