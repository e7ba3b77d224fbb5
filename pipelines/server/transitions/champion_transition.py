"""The champion transition: the one operation that moves the alias champion, whatever route asks for it.

`move_champion` promotes, for our routes and for MLflow's own; `roll_back` and `retire_champion` undo a promotion. Each
reads the facts under the ledger lock (`version_facts`), asks the rules (`rules`), and calls `apply_change`, which
appends the ledger entry and updates alias and tags (`projection`). Overrides end with `apply_change` too.
"""

from typing import Any

from pipelines.registry.ledger.entry import Event, LedgerEntry, Principal
from pipelines.registry.registered_adapter import ChampionChange
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import ChampionRef
from pipelines.server.auth.principal import PROMOTE, authorize
from pipelines.server.ledger import LedgerTransaction
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import hash_bundle
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.override_requests import end_request, open_request
from pipelines.server.storage.version_rows import present_champion
from pipelines.server.transitions.projection import show_change, show_override
from pipelines.server.transitions.rules import Denied, TransitionKind, decide_transition
from pipelines.server.transitions.version_facts import gather_facts, predecessor

_DEFAULT_REASONS = {"promoted": "its verdict passed", "rolled back": "rollback"}


def move_champion(
    store: LockedStore,
    slot: Slot,
    version: int,
    principal: Principal,
    reason: str,
    kind: TransitionKind,
    *,
    again: bool = False,
    seen: int | None = None,
) -> ChampionChange:
    """Move the alias champion to a version if the rules allow it; change nothing if it is the champion already.

    A Refusal, by the rules or because the caller lacks the right, is recorded in the ledger.
    """
    attempt = Attempt("rollback" if kind == "rollback" else "promote", slot.model_name, version)
    location = store.row(slot.model_name, version).storage_location
    with store.refusing(principal):
        authorize(PROMOTE, attempt)
        # hashed before the lock: a few MB would keep every other writer waiting, and the folder is frozen anyway
        hashed = hash_bundle(location or "")
        with store.locked() as transaction:
            # again, under the lock: it may have been deleted since
            store.row(slot.model_name, version)
            facts = gather_facts(transaction, slot, version, hashed)
            present = facts.champion.version if facts.champion else None
            _refuse_other_champion(Attempt("rollback", slot.model_name, present), slot, facts.champion, seen)
            if present == version:
                return ChampionChange(str(slot), version, version, False, "", 0, principal.name)
            decision = decide_transition(facts, kind, again=again)
            if isinstance(decision, Denied):
                raise attempt.refused(decision.sentence)
            evidence: dict[str, Any] = {"bundle": facts.bundle, "statements": decision.statements}
            evidence["reason"] = reason.strip() or _DEFAULT_REASONS[decision.event]
            entry = apply_change(transaction, slot, decision.event, facts.champion, version, principal, **evidence)
            return _change(entry)


def roll_back(
    store: LockedStore, slot: Slot, version: int | None, principal: Principal, reason: str, *, seen: int | None = None
) -> ChampionChange:
    """Bring a former champion back; None takes the one that the present champion replaced.

    `seen` is the champion that the caller means to replace; None takes the present one. A Refusal is recorded.
    """
    with store.refusing(principal):
        if version is None:
            with store.ManagedSessionMaker() as session:
                present = present_champion(session, slot.model_name)
                version = predecessor(session, str(slot), present.version) if present else None
            attempt = Attempt("rollback", slot.model_name, present.version if present else None)
            if present is None:
                raise attempt.refused(
                    f"{slot} has no champion to roll back from; promote one first: elp promote {slot}"
                )
            if version is None:
                raise attempt.refused(
                    f"{slot} v{present.version} is the slot's first champion: there is none to go back to"
                )
            # it was read without the lock: another promotion may come between
            seen = present.version if seen is None else seen
        return move_champion(store, slot, version, principal, reason, "rollback", seen=seen)


def retire_champion(
    store: LockedStore, slot: Slot, principal: Principal, reason: str, *, seen: int | None = None
) -> ChampionChange:
    """Leave a slot without a champion, for a reason. A Refusal is recorded in the ledger."""
    with store.refusing(principal), store.locked() as transaction:
        authorize(PROMOTE, Attempt("retire", slot.model_name))
        champion = present_champion(transaction.session, slot.model_name)
        attempt = Attempt("retire", slot.model_name, champion.version if champion else None)
        if champion is None:
            raise attempt.refused(f"{slot} has no champion to retire")
        _refuse_other_champion(attempt, slot, champion, seen)
        if not reason.strip():
            raise attempt.refused(f"say why {slot} is retired: elp retire {slot} --reason REASON")
        evidence = {"bundle": champion.bundle, "reason": reason}
        return _change(apply_change(transaction, slot, "retired", champion, None, principal, **evidence))


def apply_change(
    transaction: LedgerTransaction,
    slot: Slot,
    event: Event,
    before: ChampionRef | None,
    after: int | None,
    principal: Principal,
    **evidence: Any,
) -> LedgerEntry:
    """Change the champion: append the ledger entry, move the alias, write the tags. Nothing else moves the alias.

    The caller has asked the rules. A request for an override is about the champion before, so this ends it. `evidence`
    is `bundle`, `reason`, `statements` and `detail`, as `LedgerTransaction.append` takes them.
    """
    previous = before.version if before else None
    entry = transaction.append(event, str(slot), principal, before=previous, after=after, **evidence)
    move_as_entry(transaction, slot, entry)
    return entry


def move_as_entry(transaction: LedgerTransaction, slot: Slot, entry: LedgerEntry) -> None:
    """Move the alias and write the tags of a slot as an entry about it says; an open override request ends."""
    session = transaction.session
    request = open_request(session, str(slot))
    if request is not None and entry.event != "overridden":
        end_request(session, request, entry.event, entry.at)
        if request.in_force:
            show_override(session, slot.model_name, request.version, "")
    show_change(session, slot.model_name, entry)


def _change(entry: LedgerEntry) -> ChampionChange:
    by = entry.principal.name
    return ChampionChange(entry.slot, entry.after, entry.before, True, entry.event, entry.seq, by)


def _refuse_other_champion(attempt: Attempt, slot: Slot, present: ChampionRef | None, seen: int | None) -> None:
    """Refuse to end another champion than the one that the caller saw."""
    if seen is None or (present is not None and present.version == seen):
        return
    now = f"v{present.version}" if present else "none"
    raise attempt.refused(f"the champion of {slot} was v{seen} and is {now} now; look again: elp versions list {slot}")
