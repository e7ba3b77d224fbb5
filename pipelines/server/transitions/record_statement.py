"""Take in a signed statement: verify it against the bytes and the trusted keys, store it, record it, show it."""

import posixpath
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import Tags
from pipelines.registry.ledger.entry import Event, Principal
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.signing.envelope import Envelope, read_envelope, verify
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Statement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.server.auth.principal import TRAIN, authorize
from pipelines.server.ledger import STATEMENTS, LedgerTransaction
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import (
    FrozenFolder,
    freeze,
    hash_bundle,
    hash_file,
    plain_path,
    run_location,
    served_path,
)
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.version_rows import newest_statements, tags_of_version, version_row
from pipelines.server.transitions.projection import show_verdict
from pipelines.server.transitions.rules import short_digest
from pipelines.server.transitions.version_facts import newest_statement

_AHEAD = timedelta(minutes=10)
"""How far another machine's clock may be ahead."""


def record_statement(store: LockedStore, model: str, version: int, text: str, principal: Principal) -> str:
    """Record a lineage or a verdict in a DSSE envelope, and return its digest; one that is recorded changes nothing.

    The signature decides, not the sender. Raise Refusal if no trusted key of its role signed it, or it is not about
    this version as it is now.
    """
    row, attempt = store.row(model, version), Attempt("submit a statement", model, version)
    with store.refusing(principal):
        authorize(TRAIN, attempt)
        slot = Slot.of_model(model)
        if slot is None:
            raise attempt.refused(f"{model} is no slot's model; statements are about elp.<site>.<task>")
        signed, statement = _verified(store, text, attempt)
        hashed = hash_bundle(row.storage_location or "")
        if statement.bundle != hashed.digest:
            found = f"hash to {short_digest(hashed.digest)}" if hashed.digest else f"are no bundle: {hashed.damage}"
            raise attempt.refused(
                f"the statement is about the bundle {short_digest(statement.bundle)}, the bytes of {slot} v{version} "
                f"{found}"
            )
        if isinstance(statement, VerdictStatement):
            _check_evidence(statement, row.run_id, attempt)
        # everything that takes time is done before the lock
        with store.locked() as transaction:
            # under the lock, because a client may send a statement again while the first request runs
            table = STATEMENTS.c
            same = (table.digest == signed.digest, table.model == model, table.version == version)
            if transaction.session.execute(select(table.digest).where(*same)).first() is None:
                _record(transaction, slot, signed, statement, principal, row, attempt)
        return signed.digest


def _verified(store: LockedStore, text: str, attempt: Attempt) -> tuple[Envelope, Statement]:
    """Return the envelope and its statement if a trusted key of the right role signed it for this version."""
    try:
        signed = read_envelope(text)
        statement = parse_statement(signed.payload)
        verify(signed, store.trusted_keys(), "verdict" if statement.kind == "verdict" else "lineage")
    except AttestationError as error:
        raise attempt.refused(f"the statement is not accepted: {error}") from error
    if statement.model != attempt.model:
        raise attempt.refused(f"the statement is about {statement.model}, it was sent for {attempt.model}")
    if isinstance(statement, VerdictStatement) and statement.version != attempt.version:
        raise attempt.refused(f"the verdict is about v{statement.version}, it was sent for v{attempt.version}")
    return signed, statement


def _check_evidence(verdict: VerdictStatement, run_id: str, attempt: Attempt) -> None:
    """Check that the evidence file is where the verdict says, and is the one that was signed."""
    path, sent = verdict.evidence.path, verdict.evidence.sha256
    if plain_path(path) != path or len(path.split("/")) < 3 or not path.startswith("gate/"):
        raise attempt.refused(f"the verdict's evidence is at {path[:80]!r}, expected gate/<name>/<file>")
    found = hash_file(posixpath.join(run_location(run_id), path))
    if found != sent:
        what = f"hashes to {found[:12]}" if found else "is not there"
        raise attempt.refused(
            f"the evidence {path} in the artifacts of run {run_id} {what}, signed was {sent[:12]}; upload it first, "
            "then send the verdict"
        )


def _record(
    transaction: LedgerTransaction,
    slot: Slot,
    signed: Envelope,
    statement: Statement,
    principal: Principal,
    row: Any,
    attempt: Attempt,
) -> None:
    """Store the statement, append the ledger entry and show the result, in the ledger transaction."""
    session, model, version = transaction.session, slot.model_name, int(row.version)
    if version_row(session, model, version) is None:
        raise attempt.refused(f"{slot} v{version} was deleted at this moment")
    event: Event
    if isinstance(statement, LineageStatement):
        _check_lineage(transaction, slot, statement, attempt)
        event, outcome, dataset, detail = "registered", "", statement.dataset, {"dataset": statement.dataset}
    else:
        _check_verdict(transaction, slot, statement, attempt)
        event, outcome, dataset, detail = "gated", statement.outcome, "", {"outcome": statement.outcome}
    evidence: dict[str, Any] = {"bundle": statement.bundle, "statements": (signed.digest,)}
    evidence["detail"] = {**detail, "key": signed.keyid}
    entry = transaction.append(event, str(slot), principal, after=version, **evidence)
    subject = {"model": model, "version": version, "bundle": statement.bundle, "fingerprint": statement.fingerprint}
    content = {"kind": statement.kind, "dataset": dataset, "outcome": outcome, "seq": entry.seq, "at": entry.at}
    signature = {"digest": signed.digest, "keyid": signed.keyid, "envelope": signed.text}
    session.execute(insert(STATEMENTS).values(**subject, **content, **signature))
    if isinstance(statement, VerdictStatement):
        show_verdict(session, statement)
        folder = served_path(posixpath.join(run_location(row.run_id), statement.evidence.path))
        assert folder is not None
        freeze(session, posixpath.dirname(folder), FrozenFolder(model, version, "evidence"))
    else:
        freeze(session, served_path(row.storage_location) or "", FrozenFolder(model, version, "adapter"))


def _check_lineage(transaction: LedgerTransaction, slot: Slot, lineage: LineageStatement, attempt: Attempt) -> None:
    """Check that the tags that people read say what was signed."""
    tags = tags_of_version(transaction.session, slot.model_name, attempt.version or 0)
    for key, signed in ((Tags.BUNDLE, lineage.bundle), (Tags.FINGERPRINT, lineage.fingerprint)):
        registered = tags.get(key, "")
        if registered != signed:
            raise attempt.refused(
                f"{slot} v{attempt.version} was registered with the tag {key} {short_digest(registered)}, signed is "
                f"{short_digest(signed)}; register what was trained: elp train {slot}"
            )


def _check_verdict(transaction: LedgerTransaction, slot: Slot, verdict: VerdictStatement, attempt: Attempt) -> None:
    """Check that it is about the backbone of the version's lineage, and newer than the newest recorded verdict."""
    session, model, version = transaction.session, slot.model_name, verdict.version
    lineage = newest_statement(session, transaction.keys, "lineage", model, version)
    if lineage is None or lineage.fault:
        why = lineage.fault if lineage else "none was signed"
        raise attempt.refused(f"{slot} v{version} has no lineage that counts ({why}): train it again: elp train {slot}")
    if verdict.slot != str(slot):
        raise attempt.refused(f"the verdict is about the slot {verdict.slot[:80]}, not {slot}")
    if lineage.fingerprint != verdict.fingerprint:
        raise attempt.refused(
            f"the verdict is about the backbone {short_digest(verdict.fingerprint)}, {slot} v{version} was trained on "
            f"{short_digest(lineage.fingerprint)}"
        )
    decided = moment(verdict.decided_at, "decided_at")
    # a verdict of the future would be newer than all that follow it
    if decided > datetime.now(UTC) + _AHEAD:
        raise attempt.refused(f"the verdict is dated {verdict.decided_at}, in the future: set the clock right")
    newest = session.scalar(newest_statements("verdict", model, version).with_only_columns(STATEMENTS.c.envelope))
    known = None if newest is None else parse_statement(read_envelope(newest).payload)
    # an old verdict that is sent again must not replace a newer one
    if isinstance(known, VerdictStatement) and decided < moment(known.decided_at, "decided_at"):
        raise attempt.refused(
            f"the verdict is of {verdict.decided_at}, but a newer one of {known.decided_at} is known; gate it again: "
            f"elp gate {slot} --version {version}"
        )
