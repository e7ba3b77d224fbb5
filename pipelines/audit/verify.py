"""Verification: one adapter down to its clips, or the whole registry against its ledger, computed again from the bytes.

The server is not trusted: entries and statements count only with a signature of a trusted key of this workspace.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.audit.adapter_records import AdapterRecords
from pipelines.audit.adapter_tree import adapter_tree
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
from pipelines.audit.checks.statement_checks import (
    CheckedStatement,
    check_lost,
    check_reason,
    check_statement,
    check_tags,
)
from pipelines.audit.facts import Fact, State
from pipelines.audit.learned_from import BRANCH, check_learned
from pipelines.audit.server_records import ServerRecords, newest_statements
from pipelines.local.workspace import Workspace
from pipelines.registry.adapter_version import CHALLENGER
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import StoredStatement
from pipelines.registry.ledger.entry import Head
from pipelines.registry.ledger.ledger_checkpoint import checkpoint_file, read_ledger_checkpoint
from pipelines.registry.signing.keys import KeyRing, key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.texts.english_phrases import phrase

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]


@dataclass(frozen=True)
class Verification:
    """The records to check, and what is trusted: this workspace's keys and checkpoint."""

    workspace: Workspace
    records: ServerRecords
    client: MlflowClient
    trusted: KeyRing
    checkpoint: Head | None
    checkpoint_at: Path
    log: Log

    def checked_ledger(self) -> CheckedLedger:
        """Check the server's whole ledger."""
        self.log("checking the ledger")
        return check_ledger(self.records.ledger(), self.trusted, self.checkpoint)

    def check(self, stored: Iterable[StoredStatement], ledger: CheckedLedger) -> list[CheckedStatement]:
        """Check statements against the trusted keys and the ledger."""
        return [check_statement(one, self.trusted, ledger) for one in stored]


@dataclass(frozen=True)
class _About:
    """Checks the statements about any version against one checked ledger."""

    tools: Verification
    ledger: CheckedLedger

    def checked_about(self, model: str, version: int) -> list[CheckedStatement]:
        return self.tools.check(self.tools.records.statements(model, version), self.ledger)


def start_verification(workspace: Workspace, records: ServerRecords, log: Log) -> Verification:
    """Connect to the server, and read this workspace's trusted keys and checkpoint, which the database cannot forge."""
    place = checkpoint_file(workspace.state)
    client, trusted = connect(records.uri), load_trusted_keys(key_folder(workspace.state))
    return Verification(workspace, records, client, trusted, read_ledger_checkpoint(place), place, log)


def verify_adapter(db: sqlite3.Connection, tools: Verification, subject: AdapterRecords) -> Fact:
    """Return the tree of one adapter with the checks below each branch."""
    ledger = tools.checked_ledger()
    version = model_registry.find(tools.client, subject.slot, subject.version)
    checked = tools.check(subject.stored, ledger)
    lineage, verdict = newest_statements(statement for _, statement in checked)
    slot = str(subject.slot)
    lost = check_lost(ledger, slot, subject.version, subject.stored)
    found: dict[str, tuple[Fact, ...]] = {
        "statements": (*(fact for fact, _ in checked), *lost),
        "ledger": (
            *check_chain(ledger, tools.checkpoint, str(tools.checkpoint_at)),
            *_check_aliases(tools, ledger, subject.slot),
        ),
    }
    if version is None:
        # a version that the ledger recorded as deleted is no fault
        deleted = ledger.deletion(slot, subject.version) if subject.adapter.deleted else ""
        state: State = "" if deleted else "failed"
        why = deleted or phrase("there is no such version")
        found["bundle"] = (Fact(phrase("in the registry"), phrase("gone"), state, why),)
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
        found |= check_data(tools.workspace.root, subject.slot, lineage, tools.log, ledger.deleted_data)
        found["training"] = check_training(tools.client, lineage)
        tools.log("computing the backbone's fingerprint")
        found["backbone"] = (check_backbone(lineage),)
        found[BRANCH] = check_learned(lineage, subject.known, _About(tools, ledger))
    return adapter_tree(db, subject, found)


def verify_registry(tools: Verification, slot: Slot | None = None) -> Fact:
    """Verify the ledger, and the statements and aliases of one slot or of all; no bundle and no data is read."""
    ledger = tools.checked_ledger()
    # a model that was deleted in MLflow still has its entries
    in_ledger = {Slot(*entry.slot.split("/")) for entry in ledger.entries if entry.slot}
    slots = [slot] if slot else sorted({*model_registry.list_slots(tools.client), *in_ledger}, key=str)
    chain = Fact(phrase("ledger"), "", children=check_chain(ledger, tools.checkpoint, str(tools.checkpoint_at)))
    branches = (_check_slot(tools, ledger, one) for one in slots)
    return Fact(phrase("registry"), tools.records.uri, children=(chain, *branches))


def _check_slot(tools: Verification, ledger: CheckedLedger, slot: Slot) -> Fact:
    tools.log(f"checking {slot}")
    stored = list(tools.records.statements(slot.model_name))
    versions = model_registry.list_versions(tools.client, slot)
    checked = tools.check(stored, ledger)
    tags = []
    for version in versions:
        about = (
            statement for one, (_, statement) in zip(stored, checked, strict=True) if one.version == version.version
        )
        tags.append(
            replace(
                check_tags(version.tags, *newest_statements(about)),
                name=phrase("tags of %(version)s", version=f"v{version.version}"),
            )
        )
    bad = tuple(fact for fact, _ in checked if fact.state != "verified")
    return Fact(
        phrase("slot"),
        str(slot),
        children=(
            *_check_aliases(tools, ledger, slot),
            Fact(phrase("statements"), str(len(stored)), "failed" if bad else "verified", "", bad),
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
        _, verdict = newest_statements(statement for _, statement in tools.check(stored, ledger))
        facts.append(check_challenger(challenger.version, serving, verdict))
    if last is not None:
        named = [found for digest in last.statements if (found := tools.records.statement(digest))]
        facts.append(check_reason(last, [statement for _, statement in tools.check(named, ledger)]))
    return tuple(facts)
