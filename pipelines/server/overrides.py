"""The override: two people make a version champion for some days without a verdict that passed.

One user asks, another approves, and both have logged in; the bundle's integrity is checked as for every champion. An
override ends when its time is over, when a user withdraws it, or with any other change of the champion. The champion
before then returns by the verdict that once promoted it, under the rules of a rollback. If that verdict no longer
holds, or there was no champion before, the slot is left without one: nothing vouches for the version any more.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from mlflow.exceptions import MlflowException

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import (
    PROMOTE,
    SERVER,
    acting_as,
    authorize,
    current_caller,
    is_plain,
    login_on,
    same_person,
)
from pipelines.server.ledger import LedgerTransaction
from pipelines.server.refusal import Attempt
from pipelines.server.storage import override_requests
from pipelines.server.storage.artifact_bytes import HashedBundle, hash_bundle
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.override_requests import OverrideRequest, open_request, request_by_id
from pipelines.server.storage.version_rows import present_champion, version_row
from pipelines.server.transitions.champion_transition import apply_change
from pipelines.server.transitions.projection import show_override
from pipelines.server.transitions.rules import Allowed, Denied, VersionFacts, champion_text, decide_transition
from pipelines.server.transitions.rules import short_digest as short
from pipelines.server.transitions.version_facts import gather_facts

LONGEST = timedelta(days=31)
USUAL_DAYS = 7
"""How long an override lasts if the request does not say it."""
EVERY_SECONDS = 30.0
"""The longest wait of the thread. It waits less for an expiry that is nearer; other processes make overrides too."""

_log = logging.getLogger(__name__)
_begun = threading.Event()
"""Set when an override begins in this process, so that the expiry thread looks up the next expiry again."""


def ask_override(store: LockedStore, slot: Slot, version: int, reason: str, lasting: timedelta) -> OverrideRequest:
    """Ask for an override of `lasting` from its approval on; the champion stays until a second person approves.

    Every page that shows the override shows the reason. A Refusal is recorded in the ledger.
    """
    caller, row, attempt = current_caller(), store.row(slot.model_name, version), _attempt(slot, version)
    with store.refusing(caller):
        _check_person(slot, version, caller, "ask for an override")
        if not reason.strip():
            raise attempt.refused(f"say why {slot} v{version} is to serve without a verdict: --reason TEXT")
        if not timedelta() < lasting <= LONGEST:
            raise attempt.refused(f"an override lasts more than 0 and at most {LONGEST.days} days: --days 7")
        hashed = hash_bundle(row.storage_location or "")
        with store.locked() as transaction:
            facts = gather_facts(transaction, slot, version, hashed)
            present = open_request(transaction.session, str(slot))
            if present is not None:
                state = f"in force {present.summary}" if present.in_force else f"asked for by {present.asked_by}"
                raise attempt.refused(f"{slot} has an override {state}; end it first: elp withdraw {slot}")
            if facts.champion is not None and facts.champion.version == version:
                raise attempt.refused(f"{facts.name} is the champion already")
            decision = decide_transition(facts, "override")
            if isinstance(decision, Denied):
                raise attempt.refused(decision.sentence)
            if isinstance(decide_transition(facts, "promote"), Allowed):
                promote = f"elp promote {slot} --version {version}"
                raise attempt.refused(f"{facts.name} passed and needs no override; promote it: {promote}")
            before = facts.champion.version if facts.champion else None
            # in the reason: whoever approves it, and every page, shows what the override lifts
            lifted = reason.strip() + (f" [{facts.licence}]" if facts.licence else "")
            values: dict[str, Any] = {"bundle": facts.bundle, "reason": lifted, "before": before}
            seconds = {"seconds": lasting.total_seconds()}
            entry = transaction.append("override asked", str(slot), caller, after=version, **values, detail=seconds)
            values |= {"before_bundle": facts.champion.bundle if facts.champion else "", **seconds}
            values |= {"asked_by": caller.name, "asked_at": entry.at}
            return override_requests.add_request(transaction.session, slot=str(slot), version=version, **values)


def approve_override(store: LockedStore, slot: Slot, *, seen: int | None = None) -> OverrideRequest:
    """Approve a request as the second person: the version becomes champion. A Refusal is recorded in the ledger.

    `seen` is the number of the request that the caller saw; None takes the one that waits.
    """
    caller = current_caller()
    with store.refusing(caller):
        with store.ManagedSessionMaker() as session:
            request = open_request(session, str(slot))
        # first, so that a caller without the right does not learn what is asked for
        _check_person(slot, request.version if request else None, caller, "approve an override")
        if request is None or request.in_force:
            state = f"the override of {slot} is approved already" if request else f"{slot} has no override to approve"
            ask = f"elp promote {slot} --version N --override --reason TEXT"
            raise _attempt(slot, None).refused(f"{state}; ask for one: {ask}")
        _refuse_other_request(slot, request, seen)
        attempt = _attempt(slot, request.version)
        if same_person(caller.name, request.asked_by):
            raise attempt.refused(
                f"{caller.name} cannot approve the override that {request.asked_by} asked for: it takes a second "
                f"person with the role promoter: elp approve {slot}"
            )
        hashed = hash_bundle(store.row(slot.model_name, request.version).storage_location or "")
        with store.locked() as transaction:
            # compared whole: it may have been withdrawn, approved or replaced since
            if request_by_id(transaction.session, request.id) != request:
                raise attempt.refused(f"the request for {slot} changed at this moment; look again")
            facts = gather_facts(transaction, slot, request.version, hashed)
            approved = _begin(transaction, slot, request, facts, caller)
    # after the commit: the expiry thread would not see the override before
    _begun.set()
    return approved


def _attempt(slot: Slot, version: int | None) -> Attempt:
    """Return the attempt that a refusal about an override names."""
    return Attempt("override", slot.model_name, version)


def _refuse_other_request(slot: Slot, request: OverrideRequest, seen: int | None) -> None:
    """Refuse a decision about another request than the one that the caller saw, which has ended."""
    if seen is not None and request.id != seen:
        raise _attempt(slot, request.version).refused(
            f"the request that you looked at is over; {slot} has another one now, by {request.asked_by} for "
            f"v{request.version}: look again"
        )


def _begin(
    transaction: LedgerTransaction, slot: Slot, request: OverrideRequest, facts: VersionFacts, principal: Principal
) -> OverrideRequest:
    """Make the requested version champion, in the ledger transaction."""
    attempt, withdraw = _attempt(slot, request.version), f"withdraw it: elp withdraw {slot}"
    if facts.champion != request.champion_before:
        then, now = champion_text(request.champion_before), champion_text(facts.champion)
        raise attempt.refused(f"the override was asked for against {then}, but now there is {now}; {withdraw}")
    decision = decide_transition(facts, "override")
    if isinstance(decision, Denied):
        raise attempt.refused(decision.sentence)
    if facts.bundle != request.bundle:
        # a model that was deleted and made again counts its versions from 1
        raise attempt.refused(
            f"the override was asked for the bundle {short(request.bundle)}, but {facts.name} holds "
            f"{short(facts.bundle)} now; {withdraw}"
        )
    if facts.licence and not request.reason.endswith(f"[{facts.licence}]"):
        raise attempt.refused(f"the override was asked for without this reason: {facts.licence}; {withdraw}")
    session, version = transaction.session, request.version
    evidence: dict[str, Any] = {"bundle": facts.bundle, "reason": request.reason, "statements": decision.statements}
    evidence["detail"] = {"asked by": request.asked_by, "asked at": request.asked_at, "seconds": request.seconds}
    entry = apply_change(transaction, slot, "overridden", facts.champion, version, principal, **evidence)
    approved = override_requests.approve_request(session, request, principal.name, entry.at)
    show_override(session, slot.model_name, version, approved.summary)
    return approved


def _check_person(slot: Slot, version: int | None, principal: Principal, what: str) -> None:
    """Refuse a caller whose name is not proven, or cannot be compared with another person's."""
    attempt = _attempt(slot, version)
    if not login_on():
        raise attempt.refused(
            "an override takes two people, and this server does not know who is calling; start it with a login: "
            "elp down, then elp up --auth"
        )
    authorize(PROMOTE, Attempt(what, slot.model_name, version))
    if not is_plain(principal.name):
        raise attempt.refused(
            f"{principal.name!r} has letters that look like others; an override takes users with plain ASCII names: "
            "elp users add NAME --role promoter"
        )


def withdraw_override(store: LockedStore, slot: Slot, reason: str, *, seen: int | None = None) -> OverrideRequest:
    """End an override before its time, or a request that was not approved. A Refusal is recorded in the ledger."""
    caller = current_caller()
    with store.refusing(caller):
        authorize(PROMOTE, Attempt("withdraw an override", slot.model_name))
        with store.ManagedSessionMaker() as session:
            request = open_request(session, str(slot))
        if request is None:
            raise _attempt(slot, None).refused(
                f"{slot} has no override to withdraw; list its versions: elp versions list {slot}"
            )
        _refuse_other_request(slot, request, seen)
        if not _end(store, slot, request, "withdrawn", caller, reason.strip() or "withdrawn"):
            raise _attempt(slot, request.version).refused(f"the override of {slot} ended at this moment")
        return request


def end_expired_overrides(
    store: LockedStore, now: datetime | None = None
) -> tuple[list[OverrideRequest], datetime | None]:
    """End the overrides whose time is over; return the requests that this call ended and the time of the next expiry.

    If several processes do this at once, one of them ends each.
    """
    now = now or datetime.now(UTC)
    with store.ManagedSessionMaker() as session:
        in_force = [request for request in override_requests.open_requests(session) if request.in_force]
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
        _begun.clear()
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
        _begun.wait(wait)


def _end(
    store: LockedStore,
    slot: Slot,
    request: OverrideRequest,
    how: Literal["expired", "withdrawn"],
    principal: Principal,
    reason: str,
) -> bool:
    """End a request, and bring the champion before back if it is in force; return False if it has ended already."""
    hashed = HashedBundle("")
    if request.before is not None and request.in_force:
        try:
            hashed = hash_bundle(store.row(slot.model_name, request.before).storage_location or "")
        except MlflowException as error:
            hashed = HashedBundle("", str(error))
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
            # the champion before returns by the verdict that once promoted it
            back: Allowed | Denied | None = None
            if request.before is not None and version_row(session, slot.model_name, request.before) is None:
                back = Denied(f"{slot} v{request.before} was deleted")
            elif request.before is not None:
                back = decide_transition(gather_facts(transaction, slot, request.before, hashed), "rollback")
            after = request.before if isinstance(back, Allowed) else None
            event: Any = "override expired" if how == "expired" else "rolled back" if after else "retired"
            evidence: dict[str, Any] = {"bundle": hashed.digest if after else request.bundle, "reason": reason}
            if isinstance(back, Allowed):
                evidence["statements"] = back.statements
            elif back is not None:
                evidence["detail"] = {"fault": back.sentence}
            apply_change(transaction, slot, event, champion, after, principal, **evidence)
        override_requests.end_request(session, request, how, transaction.last_at)
    return True
