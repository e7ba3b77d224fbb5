"""The door: the one place where the alias champion moves, whatever route the wish came by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.registry.ledger.entry import Event, LedgerEntry, Principal
from pipelines.registry.slot import Slot
from pipelines.server.auth.authorize import authorize
from pipelines.server.auth.roles import PROMOTE
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.overrides import requests as override_requests
from pipelines.server.refusal import Refusal
from pipelines.server.stores import artifact_bytes as served
from pipelines.server.stores.locked_store import LockingStore
from pipelines.server.transitions import projection
from pipelines.server.transitions import version_facts as facts
from pipelines.server.transitions.rules import Facts, Move, Refused, Standing, Want, decide

_WHY = {"promoted": "its verdict passed", "rolled back": "rollback"}


@dataclass(frozen=True)
class Moved:
    """What came of a wish."""

    slot: str
    """``SITE/TASK``."""
    version: int | None
    """The champion now; None after a retirement."""
    previous: int | None
    """The champion before; None where there was none."""
    changed: bool
    """False where `version` was the champion already."""
    event: str
    """promoted, rolled back or retired; empty where nothing changed."""
    seq: int
    """Number of the ledger's entry; 0 where nothing changed."""
    by: str
    """Who the server takes the caller for."""


def promote(
    store: LockingStore, slot: Slot, version: int, who: Principal, reason: str, *, again: bool = False
) -> Moved:
    """Make a version champion that passed the gate against the champion of this moment.

    Raises:
        Refusal: in one sentence, recorded in the ledger.
        MlflowException: where there is no such version.
    """
    return move(store, slot, version, who, reason, "promote", again=again)


def rollback(
    store: LockingStore, slot: Slot, version: int | None, who: Principal, reason: str, *, seen: int | None = None
) -> Moved:
    """Bring a version back that once was champion; None takes the one whose place the champion took.

    Args:
        store: The registry.
        slot: The slot.
        version: The former champion.
        who: Who asks.
        reason: Why.
        seen: The champion that the caller means to replace; None takes the present one.

    Raises:
        Refusal: in one sentence, recorded in the ledger.
        MlflowException: where there is no such version.
    """
    with store.refusing(who):
        if version is None:
            present, version = _predecessor(store, slot)
            seen = present if seen is None else seen
        return move(store, slot, version, who, reason, "rollback", seen=seen)


def retire(store: LockingStore, slot: Slot, who: Principal, reason: str, *, seen: int | None = None) -> Moved:
    """Leave a slot without champion; `seen` is the one that the caller means, None the present one.

    Raises:
        Refusal: where there is no champion, or no reason is given.
    """
    with store.refusing(who), store.locked() as book:
        authorize(PROMOTE, what="retire", model=slot.model_name)
        present = facts.champion(book.session, slot.model_name)
        if present is None:
            raise _refusal(slot, None, "retire", f"{slot} has no champion to retire")
        _refuse_unseen(slot, present, seen, "retire")
        if not reason.strip():
            raise _refusal(
                slot, present.version, "retire", f"say why {slot} is retired: elp retire {slot} --reason REASON"
            )
        entry = record_move(book, slot, "retired", present, None, who, reason, bundle=present.bundle)
        return Moved(str(slot), None, present.version, True, "retired", entry.seq, who.name)


def move(
    store: LockingStore,
    slot: Slot,
    version: int,
    who: Principal,
    reason: str,
    want: Want,
    *,
    again: bool = False,
    seen: int | None = None,
) -> Moved:
    """Move the alias champion to a version, if the rules allow it; nothing happens where it is there already.

    The bytes are hashed before the ledger is locked: a few MB would keep every other writer waiting, and nothing can
    be written to them any more (`pipelines.server.stores.artifact_store`).

    Raises:
        Refusal: in one sentence, recorded in the ledger.
        MlflowException: where there is no such version.
    """
    row, what = store.row(slot.model_name, version), "rollback" if want == "rollback" else "promote"
    with store.refusing(who):
        authorize(PROMOTE, what=what, model=slot.model_name, version=version)
        bundle, damage = served.hash_bundle(row.storage_location or "")
        with store.locked() as book:
            store.row(slot.model_name, version)
            known = facts.gather(book, slot, version, bundle, damage)
            _refuse_unseen(slot, known.champion, seen, "rollback")
            if known.champion is not None and known.champion.version == version:
                return Moved(str(slot), version, version, False, "", 0, who.name)
            allowed = decide(known, want, again=again)
            if isinstance(allowed, Refused):
                raise _refusal(slot, version, what, allowed.sentence)
            entry = _record(book, slot, known, allowed, who, reason)
            previous = known.champion.version if known.champion else None
            return Moved(str(slot), version, previous, True, allowed.event, entry.seq, who.name)


def record_move(
    book: LedgerTransaction,
    slot: Slot,
    event: Event,
    before: Standing | None,
    after: int | None,
    who: Principal,
    reason: str,
    *,
    bundle: str,
    statements: tuple[str, ...] = (),
    detail: Mapping[str, Any] | None = None,
) -> LedgerEntry:
    """Write that the champion changed, and change it: entry, alias and tags in one transaction.

    The rules are the caller's to ask; nothing else writes the alias champion. An override that was asked for or in
    force ends with it: it was about the champion before.
    """
    previous = before.version if before else None
    entry = book.append(
        event,
        str(slot),
        who,
        before=previous,
        after=after,
        bundle=bundle,
        reason=reason,
        statements=statements,
        detail=detail,
    )
    request = override_requests.open_request(book.session, str(slot))
    if request is not None and event != "overridden":
        override_requests.end(book.session, request, event, entry.at)
        if request.in_force:
            projection.hide_override(book.session, slot.model_name, request.version)
    projection.show_move(book.session, slot.model_name, entry)
    return entry


def _record(
    book: LedgerTransaction, slot: Slot, known: Facts, allowed: Move, who: Principal, reason: str
) -> LedgerEntry:
    why = reason.strip() or _WHY[allowed.event]
    return record_move(
        book,
        slot,
        allowed.event,
        known.champion,
        known.version,
        who,
        why,
        bundle=known.bundle,
        statements=allowed.statements,
    )


def _refuse_unseen(slot: Slot, present: Standing | None, seen: int | None, what: str) -> None:
    """Who means to end one champion does not end another that came in between."""
    if seen is None or (present is not None and present.version == seen):
        return
    now = f"v{present.version}" if present else "none"
    raise _refusal(
        slot,
        present.version if present else None,
        what,
        f"the champion of {slot} was v{seen} and is {now} in this moment; look again: elp versions {slot}",
    )


def _predecessor(store: LockingStore, slot: Slot) -> tuple[int, int]:
    """The champion, and the version whose place it took."""
    with store.ManagedSessionMaker() as session:
        present = facts.champion(session, slot.model_name)
        before = facts.predecessor(session, str(slot), present.version) if present else None
    if present is None:
        raise _refusal(
            slot, None, "rollback", f"{slot} has no champion to roll back from; promote one first: elp promote {slot}"
        )
    if before is None:
        raise _refusal(
            slot,
            present.version,
            "rollback",
            f"{slot} v{present.version} is the slot's first champion: there is none before it to go back to",
        )
    return present.version, before


def _refusal(slot: Slot, version: int | None, what: str, sentence: str) -> Refusal:
    return Refusal(sentence, what=what, model=slot.model_name, version=version)
