"""How an override ends: its time is over, or it is withdrawn; any other change of champion ends it at the door.

The champion before comes back by the proof of then, through the same rules as a rollback. Where that proof holds no
more, or there was none, the slot is left without a champion: nobody's word stands for the version any longer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mlflow.exceptions import MlflowException

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot
from pipelines.server.auth.authorize import authorize
from pipelines.server.auth.principal import SERVER, current
from pipelines.server.auth.roles import PROMOTE
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.overrides import requests as override_requests
from pipelines.server.overrides.override import refuse, refuse_unseen
from pipelines.server.overrides.requests import Request
from pipelines.server.stores import artifact_bytes as served
from pipelines.server.stores.locked_store import LockingStore
from pipelines.server.transitions import champion_transition as door
from pipelines.server.transitions import version_facts as facts
from pipelines.server.transitions.rules import Refused, decide

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Return:
    """The champion before, looked at: whether it may come back."""

    version: int | None
    """None where nobody was, or may be, champion."""
    bundle: str = ""
    statements: tuple[str, ...] = ()
    fault: str = ""
    """Why the champion before does not come back; empty where it does, and where there was none."""


def withdraw(store: LockingStore, slot: Slot, reason: str, *, seen: int | None = None) -> Request:
    """End an override before its time, or a request that nobody approved.

    Args:
        store: The registry.
        slot: The slot.
        reason: Why.
        seen: Number of the request that was looked at; None takes the open one.

    Raises:
        Refusal: where there is none.
    """
    who = current().who
    with store.refusing(who):
        authorize(PROMOTE, what="withdraw an override", model=slot.model_name)
        with store.ManagedSessionMaker() as session:
            request = override_requests.open_request(session, str(slot))
        if request is None:
            raise refuse(slot, None, f"{slot} has no override to withdraw; what there is: elp versions {slot}")
        refuse_unseen(slot, request, seen)
        if _end(store, slot, request, "withdrawn", who, reason.strip() or "withdrawn") is None:
            raise refuse(slot, request.version, f"the override of {slot} ended in this moment by itself")
        return request


def expire(store: LockingStore, now: datetime | None = None) -> tuple[list[Request], datetime | None]:
    """End the overrides whose time is over; of several processes that do this at once, one finds something to do.

    Args:
        store: The registry.
        now: This moment; None asks the clock.

    Returns:
        Those that this call ended, and when the next one ends.
    """
    now = now or datetime.now(UTC)
    with store.ManagedSessionMaker() as session:
        holding = [request for request in override_requests.open_requests(session) if request.in_force]
    due = [request for request in holding if moment(request.until, "until") <= now]
    ends = [moment(request.until, "until") for request in holding if request not in due]
    done = []
    for request in due:
        try:
            ended = _end(store, Slot.parse(request.slot), request, "expired", SERVER, "its time is over")
        except Exception:
            # one slot's spoilt records must not let the overrides of the others outlive their time
            _log.exception("the override of %s v%d could not be ended; trying again", request.slot, request.version)
            continue
        done += [request] if ended is not None else []
    return done, min(ends, default=None)


def _end(
    store: LockingStore, slot: Slot, request: Request, how: Literal["expired", "withdrawn"], who: Principal, reason: str
) -> Request | None:
    """End a request, and bring the champion before back where it is in force; None where it has ended already."""
    looked_at = _hash_before(store, slot, request) if request.in_force else ("", "")
    with store.locked() as book:
        present = override_requests.by_id(book.session, request.id)
        if present is None or present.ended or present.in_force != request.in_force:
            return None
        if how == "withdrawn":
            book.append(
                "override withdrawn",
                str(slot),
                who,
                after=request.version,
                bundle=request.bundle,
                reason=reason,
                detail={"asked by": request.asked_by, "in force": request.in_force},
            )
        if request.in_force:
            _move_back(book, slot, request, looked_at, how, who, reason)
        override_requests.end(book.session, request, how, book.last_at)
    return request


def _move_back(
    book: LedgerTransaction,
    slot: Slot,
    request: Request,
    looked_at: tuple[str, str],
    how: str,
    who: Principal,
    reason: str,
) -> None:
    champion = facts.champion(book.session, slot.model_name)
    if champion is None or champion.version != request.version:
        # the alias was moved in the database itself: that is for the audit to find, not for this to hide
        return
    back = _return(book, slot, request, *looked_at)
    event: Any = "override expired" if how == "expired" else "rolled back" if back.version else "retired"
    door.record_move(
        book,
        slot,
        event,
        champion,
        back.version,
        who,
        reason,
        bundle=back.bundle or request.bundle,
        statements=back.statements,
        detail={"fault": back.fault} if back.fault else None,
    )


def _return(book: LedgerTransaction, slot: Slot, request: Request, bundle: str, damage: str) -> Return:
    """The champion before, if the proof by which it once was champion still holds."""
    if request.before is None:
        return Return(None)
    if facts.version_row(book.session, slot.model_name, request.before) is None:
        return Return(None, fault=f"{slot} v{request.before} was deleted")
    allowed = decide(facts.gather(book, slot, request.before, bundle, damage), "rollback")
    if isinstance(allowed, Refused):
        return Return(None, fault=allowed.sentence)
    return Return(request.before, bundle, allowed.statements)


def _hash_before(store: LockingStore, slot: Slot, request: Request) -> tuple[str, str]:
    if request.before is None:
        return "", ""
    try:
        row = store.row(slot.model_name, request.before)
    except MlflowException as error:
        return "", str(error)
    return served.hash_bundle(row.storage_location or "")
