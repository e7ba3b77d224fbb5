"""Verification: one adapter down to its clips, or the whole registry against its ledger, computed again from the bytes.

The server is not trusted: entries and statements count only with a signature of a trusted key of this workspace.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.audit.adapter_records import AdapterRecords, adapter_tree
from pipelines.audit.checks.bundle_checks import check_backbone, check_bundle, check_evidence, check_training
from pipelines.audit.checks.data_checks import check_data
from pipelines.audit.checks.ledger_checks import (
    CheckedLedger,
    check_chain,
    check_challenger,
    check_champion,
    check_ledger,
    check_registered,
    check_versions,
)
from pipelines.audit.checks.statement_checks import check_lost, check_reason, check_statement, check_tags
from pipelines.audit.facts import Fact, State
from pipelines.audit.server_records import ServerRecords
from pipelines.local.workspace import Workspace
from pipelines.registry.adapter_version import CHALLENGER
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.ledger.entry import Head
from pipelines.registry.ledger.ledger_checkpoint import checkpoint_file, read_ledger_checkpoint
from pipelines.registry.signing.keys import KeyRing, key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Statement
from pipelines.registry.verdict_statement import VerdictStatement

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]


@dataclass(frozen=True)
class Verification:
    """What a verification works with: the records to check, and what it trusts."""

    workspace: Workspace
    records: ServerRecords
    client: MlflowClient
    ring: KeyRing
    checkpoint: Head | None
    checkpoint_at: Path
    log: Log

    def checked_ledger(self) -> CheckedLedger:
        """Check the server's whole ledger."""
        self.log("checking the ledger")
        return check_ledger(self.records.ledger(), self.ring, self.checkpoint)


def start_verification(workspace: Workspace, records: ServerRecords, log: Log) -> Verification:
    """Connect to the server, and read this workspace's trusted keys and checkpoint, which the database cannot forge.

    Raises:
        ServiceError: The server does not answer.
        AttestationError: The trusted keys or the checkpoint cannot be read.
    """
    place = checkpoint_file(workspace.state)
    client, ring = connect(records.uri), load_trusted_keys(key_folder(workspace.state))
    return Verification(workspace, records, client, ring, read_ledger_checkpoint(place), place, log)


def verify_adapter(db: sqlite3.Connection, tools: Verification, subject: AdapterRecords) -> Fact:
    """Return the tree of one adapter with the checks below each branch."""
    ledger = tools.checked_ledger()
    version = model_registry.find(tools.client, subject.slot, subject.version)
    checked = [check_statement(one, tools.ring, ledger) for one in subject.stored]
    lineage, verdict = _proven(checked)
    slot = str(subject.slot)
    lost = check_lost(ledger, slot, [subject.version], subject.stored)
    found: dict[str, tuple[Fact, ...]] = {
        "statements": (*(fact for fact, _ in checked), *lost),
        "ledger": (
            *check_chain(ledger, tools.checkpoint, str(tools.checkpoint_at)),
            *_check_aliases(tools, ledger, subject.slot),
        ),
    }
    if version is None:
        state: State = "" if subject.adapter.deleted else "failed"
        found["bundle"] = (Fact("in the registry", "gone", state, "there is no such version"),)
    else:
        tools.log("hashing the bundle")
        found["bundle"] = (
            *check_bundle(tools.client, version, lineage),
            check_registered(ledger, slot, subject.version, lineage),
            check_tags(version.tags, lineage, verdict),
        )
        if verdict is not None:
            found["verdict"] = (check_evidence(tools.client, version, verdict),)
    if lineage is not None:
        found |= check_data(tools.workspace.root, subject.slot, lineage, tools.log)
        found["training"] = check_training(tools.client, lineage)
        tools.log("computing the backbone's fingerprint")
        found["backbone"] = (check_backbone(lineage),)
    return adapter_tree(db, subject, found)


def verify_registry(tools: Verification, slot: Slot | None = None) -> Fact:
    """Verify the ledger, every statement, and every slot's aliases; no bundle and no data is read.

    Args:
        tools: As `start_verification` returns them.
        slot: One slot; None means all slots.
    """
    ledger = tools.checked_ledger()
    in_ledger = {Slot(*entry.slot.split("/")) for entry in ledger.entries if entry.slot}
    slots = [slot] if slot else sorted({*model_registry.list_slots(tools.client), *in_ledger}, key=str)
    branches = [_check_slot(tools, ledger, one) for one in slots]
    chain = Fact("ledger", "", children=check_chain(ledger, tools.checkpoint, str(tools.checkpoint_at)))
    return Fact("registry", tools.records.uri, children=(chain, *branches))


def _check_slot(tools: Verification, ledger: CheckedLedger, slot: Slot) -> Fact:
    tools.log(f"checking {slot}")
    stored = list(tools.records.statements(slot.model_name))
    versions = model_registry.list_versions(tools.client, slot)
    checked = {one.digest: check_statement(one, tools.ring, ledger) for one in stored}
    tags = []
    for version in versions:
        mine = [checked[one.digest] for one in stored if one.version == version.version]
        tags.append(replace(check_tags(version.tags, *_proven(mine)), name=f"tags of v{version.version}"))
    bad = tuple(fact for fact, _ in checked.values() if fact.state != "verified")
    return Fact(
        "slot",
        str(slot),
        children=(
            *_check_aliases(tools, ledger, slot),
            Fact("statements", str(len(stored)), "failed" if bad else "verified", "", bad),
            *check_lost(ledger, str(slot), None, stored),
            *check_versions(ledger, str(slot), [version.version for version in versions]),
            *(fact for fact in tags if fact.state == "failed"),
        ),
    )


def _check_aliases(tools: Verification, ledger: CheckedLedger, slot: Slot) -> tuple[Fact, ...]:
    """Check champion and challenger, and what the entry that made the champion rests on."""
    present, last = model_registry.find_champion(tools.client, slot), ledger.champion(str(slot))
    serving = present.version if present else None
    facts = [check_champion(ledger, str(slot), serving)]
    if challenger := model_registry.find(tools.client, slot, CHALLENGER):
        stored = tools.records.statements(slot.model_name, challenger.version)
        _, verdict = _proven([check_statement(one, tools.ring, ledger) for one in stored])
        facts.append(check_challenger(challenger.version, serving, verdict))
    if last is not None:
        proven = {
            digest: check_statement(found, tools.ring, ledger)[1]
            for digest in last.statements
            if (found := tools.records.statement(digest))
        }
        facts.append(check_reason(last, proven))
    return tuple(facts)


def _proven(checked: list[tuple[Fact, Statement | None]]) -> tuple[LineageStatement | None, VerdictStatement | None]:
    """Return the newest lineage and verdict with valid signatures; the newest come first."""
    statements = [statement for _, statement in checked]
    lineage = next((one for one in statements if isinstance(one, LineageStatement)), None)
    return lineage, next((one for one in statements if isinstance(one, VerdictStatement)), None)
