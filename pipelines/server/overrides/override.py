"""The two-person override: a version becomes champion for some days without a verdict that passed.

One user asks, another approves, both logged in; the bundle's integrity is demanded as ever. How it ends:
`pipelines.server.overrides.expiry`.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.slot import Slot
from pipelines.server.auth.authorize import authorize
from pipelines.server.auth.principal import current, is_plain, login_on, same_person
from pipelines.server.auth.roles import PROMOTE
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.overrides import requests as override_requests
from pipelines.server.overrides.requests import Request
from pipelines.server.refusal import Refusal
from pipelines.server.stores import artifact_bytes as served
from pipelines.server.stores.locked_store import LockingStore
from pipelines.server.transitions import champion_transition as door
from pipelines.server.transitions import projection
from pipelines.server.transitions import version_facts as facts
from pipelines.server.transitions.rules import Facts, Move, Refused, decide, short, told

LONGEST = timedelta(days=31)
USUAL_DAYS = 7
"""How long an override lasts where nothing is said."""

changed = threading.Event()
"""Set when an override begins in this process: `expiry_thread` then looks up the next expiry again."""


def ask(store: LockingStore, slot: Slot, version: int, reason: str, lasting: timedelta) -> Request:
    """Ask for an override; nothing moves until a second person approves.

    Args:
        store: The registry.
        slot: The slot.
        version: Version that is to become champion.
        reason: Why; shown wherever the override is.
        lasting: How long it is to hold from the approval on, `LONGEST` at most.

    Raises:
        Refusal: in one sentence, recorded in the ledger.
        MlflowException: where there is no such version.
    """
    who, row = current().who, store.row(slot.model_name, version)
    with store.refusing(who):
        _check_person(slot, version, who, "ask for an override")
        if not reason.strip():
            raise refuse(slot, version, f"say why {slot} v{version} is to serve without a verdict: --reason TEXT")
        if not timedelta() < lasting <= LONGEST:
            raise refuse(slot, version, f"an override holds {LONGEST.days} days at most, and more than none: --days 7")
        bundle, damage = served.hash_bundle(row.storage_location or "")
        with store.locked() as book:
            known = facts.gather(book, slot, version, bundle, damage)
            _check_wish(book, slot, known)
            at = book.append(
                "override asked",
                str(slot),
                who,
                before=known.champion.version if known.champion else None,
                after=version,
                bundle=bundle,
                reason=reason.strip(),
                detail={"seconds": lasting.total_seconds()},
            ).at
            return override_requests.add(
                book.session,
                slot=str(slot),
                version=version,
                bundle=bundle,
                before=known.champion.version if known.champion else None,
                before_bundle=known.champion.bundle if known.champion else "",
                reason=reason.strip(),
                seconds=lasting.total_seconds(),
                asked_by=who.name,
                asked_at=at,
            )


def approve(store: LockingStore, slot: Slot, *, seen: int | None = None) -> Request:
    """The second person's word: the version becomes champion.

    Args:
        store: The registry.
        slot: The slot.
        seen: Number of the request that was looked at; None takes the one that waits.

    Raises:
        Refusal: in one sentence, recorded in the ledger.
    """
    who = current().who
    with store.refusing(who):
        request = _waiting(store, slot)
        refuse_unseen(slot, request, seen)
        _check_person(slot, request.version, who, "approve an override")
        if same_person(who.name, request.asked_by):
            raise refuse(
                slot,
                request.version,
                f"{who.name} cannot approve the override that {request.asked_by} asked for: it takes a second person "
                f"with the role promoter: elp approve {slot}",
            )
        row = store.row(slot.model_name, request.version)
        bundle, damage = served.hash_bundle(row.storage_location or "")
        with store.locked() as book:
            if override_requests.by_id(book.session, request.id) != request:
                raise refuse(slot, request.version, f"the request for {slot} changed in this moment; look again")
            known = facts.gather(book, slot, request.version, bundle, damage)
            approved = _begin(book, slot, request, known, who)
    changed.set()
    return approved


def _begin(book: LedgerTransaction, slot: Slot, request: Request, known: Facts, who: Principal) -> Request:
    """Move the champion to the version asked for, in the locked transaction."""
    if known.champion != request.standing:
        raise refuse(
            slot,
            request.version,
            f"the override was asked for against {told(request.standing)}, but now there is {told(known.champion)}; "
            f"withdraw it: elp withdraw {slot}",
        )
    allowed = decide(known, "override")
    if isinstance(allowed, Refused):
        raise refuse(slot, request.version, allowed.sentence)
    if known.bundle != request.bundle:
        # a model that was deleted and made again counts its versions from 1
        raise refuse(
            slot,
            request.version,
            f"the override was asked for the bundle {short(request.bundle)}, but {known.name} holds "
            f"{short(known.bundle)} now; withdraw it: elp withdraw {slot}",
        )
    detail = {"asked by": request.asked_by, "asked at": request.asked_at, "seconds": request.seconds}
    entry = door.record_move(
        book,
        slot,
        "overridden",
        known.champion,
        request.version,
        who,
        request.reason,
        bundle=known.bundle,
        statements=allowed.statements,
        detail=detail,
    )
    approved = override_requests.approve(book.session, request, who.name, entry.at)
    projection.show_override(book.session, slot.model_name, request.version, approved.told)
    return approved


def _check_person(slot: Slot, version: int, who: Principal, what: str) -> None:
    """An override needs two people whose names were proven and can be told apart."""
    if not login_on():
        raise refuse(
            slot,
            version,
            "an override takes two people, and this server does not know who is calling; start it with a login: "
            "elp down, then elp up --auth",
        )
    authorize(PROMOTE, what=what, model=slot.model_name, version=version)
    if not is_plain(who.name):
        raise refuse(
            slot,
            version,
            f"{who.name!r} has letters that can be taken for others; an override takes users with plain ASCII names: "
            "elp users add NAME --role promoter",
        )


def _check_wish(book: LedgerTransaction, slot: Slot, known: Facts) -> None:
    """An override is the way for what has no other."""
    version, present = known.version, override_requests.open_request(book.session, str(slot))
    if present is not None:
        state = f"in force {present.told}" if present.in_force else f"asked for by {present.asked_by}"
        raise refuse(slot, version, f"{slot} has an override {state}; end it first: elp withdraw {slot}")
    if known.champion is not None and known.champion.version == version:
        raise refuse(slot, version, f"{known.name} is the champion already")
    allowed = decide(known, "override")
    if isinstance(allowed, Refused):
        raise refuse(slot, version, allowed.sentence)
    if isinstance(decide(known, "promote"), Move):
        raise refuse(
            slot,
            version,
            f"{known.name} passed and needs no override; promote it: elp promote {slot} --version {version}",
        )


def _waiting(store: LockingStore, slot: Slot) -> Request:
    with store.ManagedSessionMaker() as session:
        request = override_requests.open_request(session, str(slot))
    if request is None or request.in_force:
        state = (
            f"the override of {slot} is approved already" if request else f"no override of {slot} waits for approval"
        )
        raise refuse(
            slot, None, f"{state}; one asks for it by: elp promote {slot} --version N --override --reason TEXT"
        )
    return request


def refuse_unseen(slot: Slot, request: Request, seen: int | None) -> None:
    """Who looked at one request does not speak on another that came in its place."""
    if seen is not None and request.id != seen:
        raise refuse(
            slot,
            request.version,
            f"the request that you looked at is over; {slot} has another one now, by {request.asked_by} for "
            f"v{request.version}: look again",
        )


def refuse(slot: Slot, version: int | None, sentence: str) -> Refusal:
    """The refusal of what concerns an override."""
    return Refusal(sentence, what="override", model=slot.model_name, version=version)
