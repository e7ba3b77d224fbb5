"""Everything computed again: one adapter down to its clips, or the whole registry against its ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.audit.adapter_records import Dossier, tree
from pipelines.audit.checks.bundle_checks import check_backbone, check_bundle, check_evidence, check_making
from pipelines.audit.checks.data_checks import check_data
from pipelines.audit.checks.ledger_checks import (
    Witness,
    check_chain,
    check_challenger,
    check_champion,
    check_registered,
    check_versions,
    read_ledger,
)
from pipelines.audit.checks.statement_checks import check_lost, check_reason, check_statement, check_tags
from pipelines.audit.facts import Fact
from pipelines.audit.server_index import Records
from pipelines.local.workspace import Workspace
from pipelines.registry.client import model_registry as registry
from pipelines.registry.ledger.entry import Head
from pipelines.registry.ledger.ledger_checkpoint import checkpoint_file, read_ledger_checkpoint
from pipelines.registry.signing.keys import KeyRing, key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Statement, VerdictStatement

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """What a verification works with."""

    workspace: Workspace
    records: Records
    client: MlflowClient
    ring: KeyRing
    anchor: Head | None
    anchor_at: Path
    log: Log

    def witness(self) -> Witness:
        """The server's whole ledger, checked."""
        self.log("checking the ledger")
        return read_ledger(self.records.ledger(), self.ring, self.anchor)


def bench(workspace: Workspace, records: Records, log: Log) -> Bench:
    """Connect, and read this workspace's trusted keys and anchor: what the database cannot forge.

    Raises:
        ServiceError: where the server does not answer.
        AttestationError: where the trusted keys or the anchor cannot be read.
    """
    place = checkpoint_file(workspace.state)
    client = registry.connect(records.uri)
    return Bench(
        workspace,
        records,
        client,
        load_trusted_keys(key_folder(workspace.state)),
        read_ledger_checkpoint(place),
        place,
        log,
    )


def verify_adapter(db: sqlite3.Connection, tools: Bench, subject: Dossier) -> Fact:
    """The tree of one adapter with everything below each branch computed again."""
    witness = tools.witness()
    version = registry.find(tools.client, subject.slot, subject.version)
    checked = [check_statement(one, tools.ring, witness) for one in subject.stored]
    lineage, verdict = _proven(checked)
    slot = str(subject.slot)
    lost = check_lost(witness, slot, [subject.version], subject.stored)
    found: dict[str, tuple[Fact, ...]] = {
        "statements": (*(fact for fact, _ in checked), *lost),
        "ledger": (
            *check_chain(witness, tools.anchor, str(tools.anchor_at)),
            *_champion(tools, witness, subject.slot),
        ),
    }
    if version is None:
        found["bundle"] = (Fact("in the registry", "gone", "" if subject.deleted else "mismatch", "no such version"),)
    else:
        tools.log("hashing the bundle")
        found["bundle"] = (
            *check_bundle(tools.client, version, lineage),
            check_registered(witness, slot, subject.version, lineage),
            check_tags(version.tags, lineage, verdict),
        )
        if verdict is not None:
            found["verdict"] = (check_evidence(tools.client, version, verdict),)
    if lineage is not None:
        found |= check_data(tools.workspace.root, subject.slot, lineage, tools.log)
        found["made by"] = check_making(tools.client, lineage)
        tools.log("computing the backbone's fingerprint")
        found["backbone"] = (check_backbone(lineage),)
    return tree(db, subject, found)


def verify_registry(tools: Bench, slot: Slot | None = None) -> Fact:
    """The ledger, every statement, and where every slot's alias stands; no bundle and no data is read.

    Args:
        tools: As `bench` gives them.
        slot: One slot; None verifies all.
    """
    witness = tools.witness()
    slots = [slot] if slot else sorted({*registry.list_slots(tools.client), *_slots(witness)}, key=str)
    branches = [_slot(tools, witness, one) for one in slots]
    ledger = Fact("ledger", "", children=check_chain(witness, tools.anchor, str(tools.anchor_at)))
    return Fact("registry", tools.records.uri, children=(ledger, *branches))


def _slot(tools: Bench, witness: Witness, slot: Slot) -> Fact:
    tools.log(f"checking {slot}")
    stored = list(tools.records.statements(model=slot.model_name))
    versions = registry.list_versions(tools.client, slot)
    checked = {one.digest: check_statement(one, tools.ring, witness) for one in stored}
    tags = []
    for version in versions:
        mine = [checked[one.digest] for one in stored if one.version == version.version]
        fact = check_tags(version.tags, *_proven(mine))
        tags += [Fact(f"tags of v{version.version}", fact.value, fact.state, fact.note, fact.children)]
    bad = tuple(fact for fact, _ in checked.values() if fact.state != "ok")
    count = Fact("statements", str(len(stored)), "mismatch" if bad else "ok", "", bad)
    return Fact(
        "slot",
        str(slot),
        children=(
            *_champion(tools, witness, slot),
            count,
            *check_lost(witness, str(slot), None, stored),
            *check_versions(witness, str(slot), [version.version for version in versions]),
            *(fact for fact in tags if fact.state == "mismatch"),
        ),
    )


def _champion(tools: Bench, witness: Witness, slot: Slot) -> tuple[Fact, ...]:
    """Where the aliases stand, and what the entry that made the champion rests on."""
    present, last = registry.find_champion(tools.client, slot), witness.champion(str(slot))
    serving = present.version if present else None
    aliases = (check_champion(witness, str(slot), serving), *_challenger(tools, witness, slot, serving))
    if last is None:
        return aliases
    proven = {
        digest: check_statement(stored, tools.ring, witness)[1]
        for digest in last.statements
        if (stored := tools.records.statement(digest))
    }
    return *aliases, check_reason(last, proven)


def _challenger(tools: Bench, witness: Witness, slot: Slot, champion: int | None) -> tuple[Fact, ...]:
    """Whether the challenger, where there is one, passed."""
    found = registry.find(tools.client, slot, registry.CHALLENGER)
    if found is None:
        return ()
    stored = tools.records.statements(model=slot.model_name, version=found.version)
    _, verdict = _proven([check_statement(one, tools.ring, witness) for one in stored])
    return (check_challenger(found.version, champion, verdict),)


def _proven(checked: list[tuple[Fact, Statement | None]]) -> tuple[LineageStatement | None, VerdictStatement | None]:
    """The newest lineage and verdict whose signatures hold; the newest come first."""
    told = [statement for _, statement in checked]
    lineage = next((one for one in told if isinstance(one, LineageStatement)), None)
    return lineage, next((one for one in told if isinstance(one, VerdictStatement)), None)


def _slots(witness: Witness) -> set[Slot]:
    return {Slot(*entry.slot.split("/")) for entry in witness.entries if entry.slot}
