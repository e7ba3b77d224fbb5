"""What the database knows of a version at this moment, read inside the locked transaction."""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlModelVersionTag, SqlRegisteredModelAlias
from sqlalchemy import Connection, RowMapping, or_, select
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry import statements
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, read_entry
from pipelines.registry.signing import envelope
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHAMPION, Tags
from pipelines.server.ledger.ledger_tables import LEDGER, STATEMENTS
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.transitions.rules import Facts, Proof, Served, Standing


def gather(book: LedgerTransaction, slot: Slot, version: int, bundle: str, damage: str = "") -> Facts:
    """The facts on which `rules.decide` decides.

    Args:
        book: The locked ledger; its session is read.
        slot: The slot.
        version: Version that is to become champion.
        bundle: What its bytes hash to; empty where they are no bundle.
        damage: Why they are none.
    """
    model, newest_of_all = slot.model_name, newest_move(book.session, str(slot))
    last, told = _last(book.session, str(slot), version)
    return Facts(
        slot=str(slot),
        model=model,
        version=version,
        bundle=bundle,
        damage=damage,
        champion=champion(book.session, model),
        lineage=newest(book.session, book.ring, "lineage", model, version),
        verdict=newest(book.session, book.ring, "verdict", model, version),
        served=_served(book, str(slot), version),
        since=newest_of_all.seq if newest_of_all else 0,
        last=last,
        last_told=told,
    )


def version_row(session: Session, model: str, version: int) -> Any | None:
    """The row of a version that exists and was not deleted, or None."""
    return session.scalars(
        select(SqlModelVersion).where(
            SqlModelVersion.name == model,
            SqlModelVersion.version == version,
            SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL,
        )
    ).one_or_none()


def tag(session: Session, model: str, version: int, key: str) -> str:
    """A tag of a version; empty where it has none."""
    found = session.scalar(
        select(SqlModelVersionTag.value).where(
            SqlModelVersionTag.name == model, SqlModelVersionTag.version == version, SqlModelVersionTag.key == key
        )
    )
    return str(found or "")


def alias(session: Session, model: str, name: str) -> int | None:
    """The version that an alias points at, or None."""
    found = session.scalar(
        select(SqlRegisteredModelAlias.version).where(
            SqlRegisteredModelAlias.name == model, SqlRegisteredModelAlias.alias == name
        )
    )
    return None if found is None else int(found)


def champion(session: Session, model: str) -> Standing | None:
    """The champion of this moment, with the bundle that was signed for it (or, from before the guard, its tag)."""
    version = alias(session, model, CHAMPION)
    return None if version is None else Standing(version, bundle_of(session, model, version))


def bundle_of(session: Session, model: str, version: int) -> str:
    """The bundle that a version's lineage was signed for; without one, what its tag says."""
    signed = session.scalar(_statements("lineage", model, version).with_only_columns(STATEMENTS.c.bundle).limit(1))
    return str(signed or tag(session, model, version, Tags.BUNDLE))


def newest(session: Session, ring: KeyRing, kind: str, model: str, version: int) -> Proof | None:
    """The newest statement of a kind about a version, verified now."""
    row = session.execute(_statements(kind, model, version).limit(1)).mappings().first()
    return None if row is None else proof(session, row, ring)


def by_digest(session: Session, ring: KeyRing, digest: str) -> tuple[str, Proof] | None:
    """A recorded statement's kind and proof, or None."""
    row = session.execute(select(STATEMENTS).where(STATEMENTS.c.digest == digest)).mappings().first()
    return None if row is None else (str(row["kind"]), proof(session, row, ring))


def proof(session: Session, row: RowMapping, ring: KeyRing) -> Proof:
    """A row of the statements' table as a proof: all is read from the signed payload and from the ledger's entry."""
    kind, about, seq = str(row["kind"]), (str(row["model"]), int(row["version"])), int(row["seq"])
    try:
        signed = envelope.read_envelope(row["envelope"])
        envelope.verify(signed, ring, "verdict" if kind == "verdict" else "lineage", _recorded_at(session, row))
        statement = statements.parse_statement(signed.payload)
    except AttestationError as error:
        return Proof(str(row["digest"]), *about, str(row["bundle"]), "", fault=str(error))
    if signed.digest != row["digest"] or statement.kind != kind:
        return Proof(
            str(row["digest"]), *about, statement.bundle, "", fault="the stored row is about another statement"
        )
    if isinstance(statement, statements.LineageStatement):
        return Proof(signed.digest, statement.model, about[1], statement.bundle, statement.fingerprint, seq=seq)
    against = Standing(statement.against.version, statement.against.bundle) if statement.against else None
    return Proof(
        signed.digest,
        statement.model,
        statement.version,
        statement.bundle,
        statement.fingerprint,
        statement.outcome,
        against,
        seq=seq,
    )


def _recorded_at(session: Session, row: RowMapping) -> str:
    """When the ledger recorded a statement: a retired key's signature counts by that, and the row could be dated back.

    Raises:
        AttestationError: where the entry that the row names is not there or is about something else.
    """
    text = session.scalar(select(LEDGER.c.entry).where(LEDGER.c.seq == row["seq"]))
    entry = None if text is None else read_entry(text)
    if entry is None or row["digest"] not in entry.statements:
        raise AttestationError(
            "mismatch", f"the ledger's entry {row['seq']} does not record it; look: elp audit --verify"
        )
    return entry.at


def newest_move(session: Session | Connection, slot: str, *where: Any) -> LedgerEntry | None:
    """The newest entry, of those that fit, after which another version of a slot, or none, was champion."""
    moves = select(LEDGER.c.entry).where(LEDGER.c.slot == slot, LEDGER.c.event.in_(MOVES), *where)
    text = session.scalar(moves.order_by(LEDGER.c.seq.desc()).limit(1))
    return None if text is None else read_entry(text)


def predecessor(session: Session | Connection, slot: str, version: int, *where: Any) -> int | None:
    """The champion whose place a version took when it was last promoted; None where it was the first.

    One that served by an override is passed over: nothing brings it back but another override.
    """
    events = LEDGER.c.event.in_(("promoted", "overridden"))
    made = newest_move(session, slot, LEDGER.c.after_version == version, events, *where)
    if made is None or made.before is None:
        return None
    earlier = LEDGER.c.seq < made.seq
    last = newest_move(session, slot, LEDGER.c.after_version == made.before, earlier)
    if last is not None and last.event == "overridden":
        return predecessor(session, slot, made.before, earlier)
    return made.before


def _statements(kind: str, model: str, version: int) -> Any:
    return (
        select(STATEMENTS)
        .where(STATEMENTS.c.model == model, STATEMENTS.c.version == version, STATEMENTS.c.kind == kind)
        .order_by(STATEMENTS.c.seq.desc())
    )


def _served(book: LedgerTransaction, slot: str, version: int) -> Served | None:
    entry = newest_move(book.session, slot, LEDGER.c.after_version == version, LEDGER.c.event == "promoted")
    if entry is None:
        return None
    found = [known for digest in entry.statements if (known := by_digest(book.session, book.ring, digest))]
    return Served(entry.bundle, next((known for kind, known in found if kind == "verdict"), None))


def _last(session: Session, slot: str, version: int) -> tuple[str, str]:
    about = or_(LEDGER.c.before_version == version, LEDGER.c.after_version == version)
    entry = newest_move(session, slot, about)
    if entry is None:
        return "", ""
    told = f"at {entry.at[:19]} by {entry.principal.name}" + (f" ({entry.reason})" if entry.reason else "")
    if entry.event == "rolled back":
        return ("rolled back to" if entry.after == version else "rolled back from"), told
    return (str(entry.event) if version == entry.after or entry.after is None else "replaced"), told
