"""The end of an override: its time is over, or a user withdraws it. Any other change of the champion ends it too.

The champion before returns by the verdict that once promoted it, under the rules of a rollback. If that verdict no
longer holds, or there was no champion before, the slot is left without one: nothing vouches for the version any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from mlflow.exceptions import MlflowException

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import SERVER, acting_as, current_caller
from pipelines.server.auth.roles import PROMOTE, authorize
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.overrides.override import override_attempt, override_begun, refuse_other_request
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import HashedBundle, hash_bundle
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.override_requests import (
    OverrideRequest,
    end_request,
    open_request,
    open_requests,
    request_by_id,
)
from pipelines.server.storage.version_rows import present_champion, version_row
from pipelines.server.transitions.champion_transition import apply_change
from pipelines.server.transitions.rules import Allowed, Denied, decide_transition
from pipelines.server.transitions.version_facts import gather_facts

EVERY_SECONDS = 30.0
"""The longest wait of the thread. It waits less for an expiry that is nearer; other processes make overrides too."""

_log = logging.getLogger(__name__)


def withdraw_override(store: LockedStore, slot: Slot, reason: str, *, seen: int | None = None) -> OverrideRequest:
    """End an override before its time, or a request that was not approved. A Refusal is recorded in the ledger."""
    caller = current_caller()
    with store.refusing(caller):
        authorize(PROMOTE, Attempt("withdraw an override", slot.model_name))
        with store.ManagedSessionMaker() as session:
            request = open_request(session, str(slot))
        if request is None:
            raise override_attempt(slot, None).refused(
                f"{slot} has no override to withdraw; list its versions: elp versions {slot}"
            )
        refuse_other_request(slot, request, seen)
        if not _end(store, slot, request, "withdrawn", caller, reason.strip() or "withdrawn"):
            raise override_attempt(slot, request.version).refused(f"the override of {slot} ended at this moment")
        return request


def end_expired_overrides(
    store: LockedStore, now: datetime | None = None
) -> tuple[list[OverrideRequest], datetime | None]:
    """End the overrides whose time is over; return the requests that this call ended and the time of the next expiry.

    If several processes do this at once, one of them ends each.
    """
    now = now or datetime.now(UTC)
    with store.ManagedSessionMaker() as session:
        in_force = [request for request in open_requests(session) if request.in_force]
    ended, later = [], []
    for request in in_force:
        until = moment(request.until, "until")
        if until > now:
            later.append(until)
            continue
        try:
            if _end(store, Slot.parse(request.slot), request, "expired", SERVER, "its time is over"):
                ended.append(request)
        except Exception:
            # one slot's damaged records must not let the overrides of other slots outlive their time
            _log.exception("the override of %s v%d could not be ended; trying again", request.slot, request.version)
    return ended, min(later, default=None)


def start_expiry_thread(store: Callable[[], LockedStore]) -> threading.Thread:
    """Start the thread that ends overrides when their time is over, until the process ends."""
    thread = threading.Thread(target=_run, args=(store,), name="elp-overrides", daemon=True)
    thread.start()
    return thread


def _run(store: Callable[[], LockedStore]) -> None:
    while True:
        # before the overrides are read: one that begins meanwhile sets it again
        override_begun.clear()
        wait = EVERY_SECONDS
        try:
            with acting_as(SERVER):
                ended, following = end_expired_overrides(store())
            for request in ended:
                _log.warning("the override of %s v%d by %s expired", request.slot, request.version, request.asked_by)
            if following is not None:
                wait = min(wait, max(0.0, (following - datetime.now(UTC)).total_seconds()))
        except Exception:
            # the database may be back at the next try; an override must not outlive its time because of it
            _log.exception("expired overrides could not be read; trying again in %.0f s", EVERY_SECONDS)
        override_begun.wait(wait)


def _end(
    store: LockedStore,
    slot: Slot,
    request: OverrideRequest,
    how: Literal["expired", "withdrawn"],
    principal: Principal,
    reason: str,
) -> bool:
    """End a request, and bring the champion before back if it is in force; return False if it has ended already."""
    hashed = _hash_champion_before(store, slot, request)
    with store.locked() as transaction:
        session = transaction.session
        present = request_by_id(session, request.id)
        # another process ended it, or a second person approved it, since it was read
        if present is None or present.ended or present.in_force != request.in_force:
            return False
        if how == "withdrawn":
            about: dict[str, Any] = {"after": request.version, "bundle": request.bundle, "reason": reason}
            about["detail"] = {"asked by": request.asked_by, "in force": request.in_force}
            transaction.append("override withdrawn", str(slot), principal, **about)
        champion = present_champion(session, slot.model_name)
        # if the alias was moved in the database itself, it stays for the audit to find
        if request.in_force and champion is not None and champion.version == request.version:
            back = _rollback_decision(transaction, slot, request, hashed)
            after = request.before if isinstance(back, Allowed) else None
            event: Any = "override expired" if how == "expired" else "rolled back" if after else "retired"
            evidence: dict[str, Any] = {"bundle": hashed.digest if after else request.bundle, "reason": reason}
            if isinstance(back, Allowed):
                evidence["statements"] = back.statements
            elif back is not None:
                evidence["detail"] = {"fault": back.sentence}
            apply_change(transaction, slot, event, champion, after, principal, **evidence)
        end_request(session, request, how, transaction.last_at)
    return True


def _rollback_decision(
    transaction: LedgerTransaction, slot: Slot, request: OverrideRequest, hashed: HashedBundle
) -> Allowed | Denied | None:
    """Decide whether the champion before returns by the verdict that once promoted it; None if there was none."""
    if request.before is None:
        return None
    if version_row(transaction.session, slot.model_name, request.before) is None:
        return Denied(f"{slot} v{request.before} was deleted")
    return decide_transition(gather_facts(transaction, slot, request.before, hashed), "rollback")


def _hash_champion_before(store: LockedStore, slot: Slot, request: OverrideRequest) -> HashedBundle:
    if request.before is None or not request.in_force:
        return HashedBundle("")
    try:
        return hash_bundle(store.row(slot.model_name, request.before).storage_location or "")
    except MlflowException as error:
        return HashedBundle("", str(error))
