"""A signed statement comes in: verified against the bytes and the trusted keys, stored, recorded, and shown."""

from __future__ import annotations

import posixpath
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from pipelines.errors import AttestationError
from pipelines.registry import statements
from pipelines.registry.ledger.entry import Event, Principal
from pipelines.registry.signing import envelope
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.signing.envelope import Envelope
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Statement, VerdictStatement
from pipelines.registry.tags import Tags
from pipelines.server.auth.authorize import authorize
from pipelines.server.auth.roles import TRAIN
from pipelines.server.ledger.ledger_tables import STATEMENTS
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.refusal import Refusal
from pipelines.server.stores import artifact_bytes as served
from pipelines.server.stores import current as server
from pipelines.server.stores.frozen_folders import freeze, plain_path
from pipelines.server.stores.locked_store import LockingStore
from pipelines.server.transitions import projection
from pipelines.server.transitions import version_facts as facts
from pipelines.server.transitions.rules import short

_AHEAD = timedelta(minutes=10)
"""How far another machine's clock may be ahead."""


def accept(store: LockingStore, model: str, version: int, text: str, who: Principal) -> str:
    """Take in a lineage or a verdict; sent again, it changes nothing.

    Args:
        store: The registry.
        model: Registered model.
        version: Version the statement is submitted for.
        text: The DSSE envelope.
        who: Who sends it. The signature decides, not the sender.

    Returns:
        The statement's digest.

    Raises:
        Refusal: where it is not signed by a trusted key of its role, or is not about this version as it is now.
        MlflowException: where there is no such version.
    """
    row = store.row(model, version)
    with store.refusing(who):
        authorize(TRAIN, what="submit a statement", model=model, version=version)
        slot = Slot.of_model(model)
        if slot is None:
            raise _refusal(f"{model} is no slot's model; statements are about elp.<site>.<task>", model, version)
        signed, statement = _verified(store, text, model, version)
        bundle, damage = served.hash_bundle(row.storage_location or "")
        if statement.bundle != bundle:
            found = f"hash to {short(bundle)}" if bundle else f"are no bundle: {damage}"
            raise _refusal(
                f"the statement is about the bundle {short(statement.bundle)}, the bytes of {slot} v{version} {found}",
                model,
                version,
            )
        if isinstance(statement, VerdictStatement):
            _check_evidence(statement, row.run_id)
        with store.locked() as book:
            if not _known(book, signed.digest, model, version):
                _record(book, slot, version, signed, statement, who, row)
        return signed.digest


def _verified(store: LockingStore, text: str, model: str, version: int) -> tuple[Envelope, Statement]:
    """The envelope and what it holds, if a trusted key of the right role signed it for this version."""
    try:
        signed = envelope.read_envelope(text)
        statement = statements.parse_statement(signed.payload)
        envelope.verify(signed, store.ring(), "verdict" if statement.kind == "verdict" else "lineage")
    except AttestationError as error:
        raise _refusal(f"the statement is not taken: {error}", model, version) from error
    if statement.model != model:
        raise _refusal(f"the statement is about {statement.model}, it was sent for {model}", model, version)
    if isinstance(statement, VerdictStatement) and statement.version != version:
        raise _refusal(f"the verdict is about v{statement.version}, it was sent for v{version}", model, version)
    return signed, statement


def _check_evidence(verdict: VerdictStatement, run_id: str) -> None:
    """The numbers behind a verdict lie where it says, and are what was signed."""
    path = verdict.evidence.path
    if plain_path(path) != path or len(path.split("/")) < 3 or not path.startswith("gate/"):
        raise _refusal(
            f"the verdict's evidence is at {path[:80]!r}, expected gate/<name>/<file>", verdict.model, verdict.version
        )
    found = served.hash_file(posixpath.join(server.run_location(run_id), path))
    if found != verdict.evidence.sha256:
        what = f"hashes to {found[:12]}" if found else "is not there"
        raise _refusal(
            f"the evidence {path} in the artifacts of run {run_id} {what}, signed was {verdict.evidence.sha256[:12]}; "
            "upload it first, then send the verdict",
            verdict.model,
            verdict.version,
        )


def _known(book: LedgerTransaction, digest: str, model: str, version: int) -> bool:
    table = STATEMENTS.c
    wanted = (table.digest == digest, table.model == model, table.version == version)
    return book.session.execute(select(table.digest).where(*wanted)).first() is not None


def _record(
    book: LedgerTransaction, slot: Slot, version: int, signed: Envelope, statement: Statement, who: Principal, row: Any
) -> None:
    """Store, write the ledger's entry and show it, in the locked transaction."""
    if facts.version_row(book.session, slot.model_name, version) is None:
        raise _refusal(f"{slot} v{version} was deleted in this moment", slot.model_name, version)
    event: Event
    if isinstance(statement, LineageStatement):
        _check_lineage(book, slot, version, statement)
        event, outcome, dataset = "registered", "", statement.dataset
    else:
        _check_verdict(book, slot, version, statement)
        event, outcome, dataset = "gated", statement.outcome, ""
    detail = {"outcome": outcome} if outcome else {"dataset": dataset}
    entry = book.append(
        event,
        str(slot),
        who,
        after=version,
        bundle=statement.bundle,
        statements=(signed.digest,),
        detail={**detail, "key": signed.keyid},
    )
    book.session.execute(
        insert(STATEMENTS).values(
            digest=signed.digest,
            model=slot.model_name,
            version=version,
            seq=entry.seq,
            kind=statement.kind,
            bundle=statement.bundle,
            fingerprint=statement.fingerprint,
            dataset=dataset,
            outcome=outcome,
            keyid=signed.keyid,
            envelope=signed.text,
            at=entry.at,
        )
    )
    if isinstance(statement, VerdictStatement):
        projection.show_verdict(book.session, statement)
        folder = served.served_path(posixpath.join(server.run_location(row.run_id), statement.evidence.path))
        assert folder is not None
        freeze(book.session, posixpath.dirname(folder), slot.model_name, version, "evidence")
    else:
        freeze(book.session, served.served_path(row.storage_location) or "", slot.model_name, version, "adapter")


def _check_lineage(book: LedgerTransaction, slot: Slot, version: int, lineage: LineageStatement) -> None:
    """The tags that people read say what was signed."""
    for key, signed in ((Tags.BUNDLE, lineage.bundle), (Tags.FINGERPRINT, lineage.fingerprint)):
        told = facts.tag(book.session, slot.model_name, version, key)
        if told != signed:
            raise _refusal(
                f"{slot} v{version} was registered with the tag {key} {short(told)}, signed is {short(signed)}; "
                f"register what was trained: elp train {slot}",
                slot.model_name,
                version,
            )


def _check_verdict(book: LedgerTransaction, slot: Slot, version: int, verdict: VerdictStatement) -> None:
    """It is about the backbone of the version's lineage, and newer than the verdict that is known."""
    model = slot.model_name
    lineage = facts.newest(book.session, book.ring, "lineage", model, version)
    if lineage is None or lineage.fault:
        why = lineage.fault if lineage else "none was signed"
        raise _refusal(f"{slot} v{version} has no lineage that counts ({why}): {_again(slot)}", model, version)
    if verdict.slot != str(slot):
        raise _refusal(f"the verdict is about the slot {verdict.slot[:80]}, not {slot}", model, version)
    if lineage.fingerprint != verdict.fingerprint:
        raise _refusal(
            f"the verdict is about the backbone {short(verdict.fingerprint)}, {slot} v{version} was trained on "
            f"{short(lineage.fingerprint)}",
            model,
            version,
        )
    decided = moment(verdict.decided_at, "decided_at")
    if decided > datetime.now(UTC) + _AHEAD:
        raise _refusal(f"the verdict is dated {verdict.decided_at}, in the future: set the clock right", model, version)
    last = _last_decided(book, model, version)
    if last and decided < moment(last, "decided_at"):
        raise _refusal(
            f"the verdict is of {verdict.decided_at}, but a newer one of {last} is known; gate it again: elp gate "
            f"{slot} --version {version}",
            model,
            version,
        )


def _last_decided(book: LedgerTransaction, model: str, version: int) -> str:
    table = STATEMENTS.c
    newest = (
        select(table.envelope)
        .where(table.model == model, table.version == version, table.kind == "verdict")
        .order_by(table.seq.desc())
        .limit(1)
    )
    text = book.session.scalar(newest)
    if text is None:
        return ""
    known = statements.parse_statement(envelope.read_envelope(text).payload)
    return known.decided_at if isinstance(known, VerdictStatement) else ""


def _again(slot: Slot) -> str:
    return f"train it again: elp train {slot}"


def _refusal(sentence: str, model: str, version: int) -> Refusal:
    return Refusal(sentence, what="submit a statement", model=model, version=version)
