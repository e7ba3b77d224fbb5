"""The override: two people make a version champion for some days without a verdict that passed.

One user asks, another approves, and both have logged in; the bundle's integrity is checked as for every champion. How
an override ends: `pipelines.server.overrides.expiry`.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import current_caller, is_plain, login_on, same_person
from pipelines.server.auth.roles import PROMOTE, authorize
from pipelines.server.ledger.transaction import LedgerTransaction
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import hash_bundle
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.override_requests import (
    OverrideRequest,
    add_request,
    approve_request,
    open_request,
    request_by_id,
)
from pipelines.server.transitions.champion_transition import apply_change
from pipelines.server.transitions.projection import show_override
from pipelines.server.transitions.rules import Allowed, Denied, VersionFacts, champion_text, decide_transition
from pipelines.server.transitions.rules import short_digest as short
from pipelines.server.transitions.version_facts import gather_facts

LONGEST = timedelta(days=31)
USUAL_DAYS = 7
"""How long an override lasts if the request does not say it."""

override_begun = threading.Event()
"""Set when an override begins in this process, so that the expiry thread looks up the next expiry again."""


def ask_override(store: LockedStore, slot: Slot, version: int, reason: str, lasting: timedelta) -> OverrideRequest:
    """Ask for an override of `lasting` from its approval on; the champion stays until a second person approves.

    Every page that shows the override shows the reason. A Refusal is recorded in the ledger.
    """
    caller, row, attempt = current_caller(), store.row(slot.model_name, version), override_attempt(slot, version)
    with store.refusing(caller):
        _check_person(slot, version, caller, "ask for an override")
        if not reason.strip():
            raise attempt.refused(f"say why {slot} v{version} is to serve without a verdict: --reason TEXT")
        if not timedelta() < lasting <= LONGEST:
            raise attempt.refused(f"an override lasts more than 0 and at most {LONGEST.days} days: --days 7")
        hashed = hash_bundle(row.storage_location or "")
        with store.locked() as transaction:
            facts = gather_facts(transaction, slot, version, hashed)
            _check_request(transaction, slot, facts)
            before = facts.champion.version if facts.champion else None
            values: dict[str, Any] = {"bundle": facts.bundle, "reason": reason.strip(), "before": before}
            seconds = {"seconds": lasting.total_seconds()}
            entry = transaction.append("override asked", str(slot), caller, after=version, **values, detail=seconds)
            values |= {"before_bundle": facts.champion.bundle if facts.champion else "", **seconds}
            values |= {"asked_by": caller.name, "asked_at": entry.at}
            return add_request(transaction.session, slot=str(slot), version=version, **values)


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
            raise override_attempt(slot, None).refused(f"{state}; ask for one: {ask}")
        refuse_other_request(slot, request, seen)
        attempt = override_attempt(slot, request.version)
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
    override_begun.set()
    return approved


def override_attempt(slot: Slot, version: int | None) -> Attempt:
    """Return the attempt that a refusal about an override names."""
    return Attempt("override", slot.model_name, version)


def refuse_other_request(slot: Slot, request: OverrideRequest, seen: int | None) -> None:
    """Refuse a decision about another request than the one that the caller saw, which has ended."""
    if seen is not None and request.id != seen:
        raise override_attempt(slot, request.version).refused(
            f"the request that you looked at is over; {slot} has another one now, by {request.asked_by} for "
            f"v{request.version}: look again"
        )


def _begin(
    transaction: LedgerTransaction, slot: Slot, request: OverrideRequest, facts: VersionFacts, principal: Principal
) -> OverrideRequest:
    """Make the requested version champion, in the ledger transaction."""
    attempt, withdraw = override_attempt(slot, request.version), f"withdraw it: elp withdraw {slot}"
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
    session, version = transaction.session, request.version
    evidence: dict[str, Any] = {"bundle": facts.bundle, "reason": request.reason, "statements": decision.statements}
    evidence["detail"] = {"asked by": request.asked_by, "asked at": request.asked_at, "seconds": request.seconds}
    entry = apply_change(transaction, slot, "overridden", facts.champion, version, principal, **evidence)
    approved = approve_request(session, request, principal.name, entry.at)
    show_override(session, slot.model_name, version, approved.summary)
    return approved


def _check_person(slot: Slot, version: int | None, principal: Principal, what: str) -> None:
    """Refuse a caller whose name is not proven, or cannot be compared with another person's."""
    attempt = override_attempt(slot, version)
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


def _check_request(transaction: LedgerTransaction, slot: Slot, facts: VersionFacts) -> None:
    """Refuse a request if the slot has one already, or if the version may become champion without it or never."""
    attempt, present = override_attempt(slot, facts.version), open_request(transaction.session, str(slot))
    if present is not None:
        state = f"in force {present.summary}" if present.in_force else f"asked for by {present.asked_by}"
        raise attempt.refused(f"{slot} has an override {state}; end it first: elp withdraw {slot}")
    if facts.champion is not None and facts.champion.version == facts.version:
        raise attempt.refused(f"{facts.name} is the champion already")
    decision = decide_transition(facts, "override")
    if isinstance(decision, Denied):
        raise attempt.refused(decision.sentence)
    if isinstance(decide_transition(facts, "promote"), Allowed):
        promote = f"elp promote {slot} --version {facts.version}"
        raise attempt.refused(f"{facts.name} passed and needs no override; promote it: {promote}")
