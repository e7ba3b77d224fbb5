"""The facts about a version, read from the database inside the ledger transaction."""

import os
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, or_, select
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.backbone_licence import BACKBONES_VARIABLE, BackbonePolicy, licence_fault
from pipelines.registry.ledger.entry import MOVES, SITE_MOVES, Event, LedgerEntry, LedgerRow, envelope_of, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.lineage import BackboneName
from pipelines.registry.signing.envelope import read_envelope, verify
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.server.ledger import LEDGER, STATEMENTS, LedgerTransaction
from pipelines.server.storage.artifact_bytes import HashedBundle
from pipelines.server.storage.site_entries import entries_about
from pipelines.server.storage.template_rows import unrenewed_voices
from pipelines.server.storage.version_rows import newest_statements, present_champion
from pipelines.server.transitions.rules import CheckedStatement, FormerPromotion, VersionFacts


def gather_facts(transaction: LedgerTransaction, slot: Slot, version: int, hashed: HashedBundle) -> VersionFacts:
    """Read the facts for `rules.decide_transition`; `hashed` are the version's bytes, hashed just before."""
    session, keys, model = transaction.session, transaction.keys, slot.model_name
    newest, champion = newest_change(session, str(slot)), present_champion(session, model)
    lineage = newest_statement(session, keys, "lineage", model, version)
    present = newest_statement(session, keys, "lineage", model, champion.version) if champion else None
    backbones = (present.fingerprint if present else "", lineage.fingerprint if lineage else "")
    last, details = _last_change(session, str(slot), version)
    return VersionFacts(
        slot=str(slot),
        model=model,
        version=version,
        bundle=hashed.digest,
        damage=hashed.damage,
        champion=champion,
        lineage=lineage,
        verdict=newest_statement(session, keys, "verdict", model, version),
        former=_former_promotion(transaction, str(slot), version),
        since=newest.seq if newest else 0,
        last=last,
        last_details=details,
        licence=_licence(lineage),
        unrenewed=unrenewed_voices(session, str(slot), hashed.digest),
        champion_fingerprint=backbones[0],
        stated=len(set(backbones)) > 1 and stated_migration(session, keys, slot.site, *backbones) is not None,
    )


def _licence(lineage: CheckedStatement | None) -> str:
    """Return why the backbone of a signed lineage may have no champion, by the policy of this server's start."""
    if lineage is None or lineage.fault:
        # the rules refuse the version for that
        return ""
    policy = BackbonePolicy.from_environment(os.environ.get(BACKBONES_VARIABLE, ""))
    return licence_fault(BackboneName(lineage.backbone, lineage.fingerprint), lineage.origin, policy)


def stated_migration(session: Session, keys: KeyRing, site: str, before: str, after: str) -> LedgerEntry | None:
    """Return the newest entry that states the change of a site between two backbones, verified at this moment."""
    stated = select(LEDGER).where(LEDGER.c.event == "migration stated").order_by(LEDGER.c.seq.desc())
    for row in session.execute(stated):
        try:
            entry = read_entry(row.entry)
            verify(envelope_of(LedgerRow(row.seq, row.entry, row.hash, row.envelope)), keys, "ledger", entry.at)
        except AttestationError:
            # the audit names it
            continue
        detail = entry.detail
        if detail.get("site") == site and detail.get("to") == after and before in detail.get("from", ()):
            return entry
    return None


def newest_statement(session: Session, keys: KeyRing, kind: str, model: str, version: int) -> CheckedStatement | None:
    """Return the newest statement of a kind about a version, verified at this moment, or None."""
    row = session.execute(newest_statements(kind, model, version).limit(1)).mappings().first()
    return None if row is None else _check(session, row, keys)


def _check(session: Session, row: RowMapping, keys: KeyRing) -> CheckedStatement:
    """Verify a row of the statements' table; its values come from the signed payload and from the ledger entry."""
    kind, digest, model, version = str(row["kind"]), str(row["digest"]), str(row["model"]), int(row["version"])
    try:
        signed = read_envelope(row["envelope"])
        verify(signed, keys, "verdict" if kind == "verdict" else "lineage", _recorded_at(session, row))
        statement = parse_statement(signed.payload)
    except AttestationError as error:
        return CheckedStatement(digest, model, version, str(row["bundle"]), "", fault=str(error))
    if signed.digest != digest or statement.kind != kind:
        fault = "the stored row is about another statement"
        return CheckedStatement(digest, model, version, statement.bundle, "", fault=fault)
    subject = (statement.bundle, statement.fingerprint)
    if isinstance(statement, LineageStatement):
        backbone, origin = statement.material("backbone").uri, statement.backbone_origin
        return CheckedStatement(
            digest, statement.model, version, *subject, seq=row["seq"], backbone=backbone, origin=origin
        )
    return CheckedStatement(
        digest,
        statement.model,
        statement.version,
        *subject,
        statement.outcome,
        statement.against,
        seq=row["seq"],
        reason=next(iter(statement.details.reasons), "") if statement.details else "",
        waits_for_voices=statement.voices == "wait",
    )


def _recorded_at(session: Session, row: RowMapping) -> str:
    """Return when the ledger recorded a statement; raise AttestationError if the entry that the row names did not."""
    # the time decides whether a retired key counts, and the row's own time could be backdated
    text = session.scalar(select(LEDGER.c.entry).where(LEDGER.c.seq == row["seq"]))
    entry = None if text is None else read_entry(text)
    if entry is None or row["digest"] not in entry.statements:
        raise AttestationError(
            "mismatch", f"the ledger entry {row['seq']} does not record it; check the ledger: elp audit --verify"
        )
    return entry.at


@dataclass(frozen=True)
class ChangeFilter:
    """Which changes of a slot's champion are meant; the default is all."""

    events: tuple[Event, ...] = MOVES
    after: int | None = None
    """The version that became champion."""
    about: int | None = None
    """The version that became champion, or was until then."""
    earlier: int | None = None
    """Only entries before this number."""

    def matches(self, entry: LedgerEntry) -> bool:
        """Return whether a change that concerns one slot is meant."""
        return (
            entry.event in self.events
            and self.after in (None, entry.after)
            and (self.about is None or self.about in (entry.before, entry.after))
            and (self.earlier is None or entry.seq < self.earlier)
        )


def newest_change(session: Session | Connection, slot: str, wanted: ChangeFilter | None = None) -> LedgerEntry | None:
    """Return the newest change of a slot's champion that is meant, as an entry about this slot, or None."""
    wanted = wanted or ChangeFilter()
    where = [LEDGER.c.slot == slot, LEDGER.c.event.in_(wanted.events)]
    if wanted.after is not None:
        where.append(LEDGER.c.after_version == wanted.after)
    if wanted.about is not None:
        where.append(or_(LEDGER.c.before_version == wanted.about, LEDGER.c.after_version == wanted.about))
    if wanted.earlier is not None:
        where.append(LEDGER.c.seq < wanted.earlier)
    text = session.scalar(select(LEDGER.c.entry).where(*where).order_by(LEDGER.c.seq.desc()).limit(1))
    found = [] if text is None else [read_entry(text)]
    # entries about the whole site are few, and have the versions inside
    sites = select(LEDGER.c.entry).where(LEDGER.c.event.in_(SITE_MOVES), entries_about(slot))
    moves = (about_slot(read_entry(entry), slot) for entry in session.scalars(sites))
    found += [move for move in moves if move is not None and wanted.matches(move)]
    return max(found, key=lambda entry: entry.seq, default=None)


def predecessor(session: Session | Connection, slot: str, version: int, earlier: int | None = None) -> int | None:
    """Return the champion that a version replaced when it was last promoted, or None if it was the first.

    A champion by override is skipped: only another override brings it back.
    """
    made = ChangeFilter(("promoted", "overridden", "migrated"), after=version, earlier=earlier)
    promotion = newest_change(session, slot, made)
    if promotion is None or promotion.before is None:
        return None
    last = newest_change(session, slot, ChangeFilter(after=promotion.before, earlier=promotion.seq))
    # the champion before may itself have served by an override
    if last is not None and last.event == "overridden":
        return predecessor(session, slot, promotion.before, promotion.seq)
    return promotion.before


def _former_promotion(transaction: LedgerTransaction, slot: str, version: int) -> FormerPromotion | None:
    session, promoted = transaction.session, ChangeFilter(("promoted", "migrated"), after=version)
    entry = newest_change(session, slot, promoted)
    if entry is None:
        return None
    named = select(STATEMENTS).where(STATEMENTS.c.digest.in_(entry.statements), STATEMENTS.c.kind == "verdict")
    row = session.execute(named).mappings().first()
    return FormerPromotion(entry.bundle, None if row is None else _check(session, row, transaction.keys))


def _last_change(session: Session, slot: str, version: int) -> tuple[str, str]:
    """Return the last thing that happened to a version as champion, and when, by whom and why."""
    entry = newest_change(session, slot, ChangeFilter(about=version))
    if entry is None:
        return "", ""
    details = f"at {entry.at[:19]} by {entry.principal.name}" + (f" ({entry.reason})" if entry.reason else "")
    if entry.event in ("rolled back", "migrated back"):
        return ("rolled back to" if entry.after == version else "rolled back from"), details
    return (str(entry.event) if version == entry.after or entry.after is None else "replaced"), details
