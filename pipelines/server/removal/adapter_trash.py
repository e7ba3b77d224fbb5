"""The trash of adapter versions: into it by policy, back, and out of it for good.

A version in the trash is gone from the registry; its bytes stay in their place, frozen. So nothing is copied, a kill
leaves either state, and `restore_adapters` needs one transaction. When its time is over, one transaction lifts the
freeze and records what goes; the bytes go after it, and a run that was killed between is continued by the next one.
What a statement names as evidence of the gate stays for good: it is small, and the statement stays, too.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlMetric
from sqlalchemy import delete, insert, select, update

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.retention import RetentionPolicy, StoredAdapter, decide_retention
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import ADMINISTER, TRAIN, authorize
from pipelines.server.holds import stored_holds
from pipelines.server.ledger import TRASH, LedgerTransaction
from pipelines.server.mlflow_private import delete_logged_model, tracking_store
from pipelines.server.refusal import Attempt
from pipelines.server.removal.artifact_deletion import prune_folder
from pipelines.server.removal.stored_adapters import needed_parents, same_origin, stored_adapters
from pipelines.server.storage.artifact_bytes import run_location, served_path, thaw
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.trash_rows import (
    CLEARED,
    any_row,
    hindrance,
    restore_key,
    restore_row,
    slot_name,
    waiting_rows,
)

MOST = 200
"""Versions whose bytes go in one call, so that no request lasts for minutes."""


@dataclass(frozen=True)
class TrashedAdapter:
    """A version in the trash."""

    seq: int
    """Number of the ledger entry that deleted it."""
    slot: str
    version: int
    at: str
    """UTC, ISO 8601."""
    bytes: int
    state: str
    """``trashed`` or ``emptying``."""
    dataset: str
    """Tag of its dataset version: what comes back needs its data."""


@dataclass(frozen=True)
class RestoredAdapters:
    """What came back from the trash, and what could not."""

    adapters: tuple[TrashedAdapter, ...]
    left: tuple[str, ...]
    """A sentence for each version that stays in the trash."""


@dataclass(frozen=True)
class WantedAdapter:
    """A version that a client asks to delete, as the client saw it."""

    slot: Slot
    version: int
    bundle: str


def read_trash(session: Any) -> list[TrashedAdapter]:
    """Return the versions in the trash, oldest first."""
    return [_trashed(row) for row in session.execute(select(TRASH).order_by(TRASH.c.seq))]


def trash_adapters(
    store: LockedStore,
    wanted: Sequence[WantedAdapter],
    policy: RetentionPolicy,
    principal: Principal,
    sizes: Mapping[str, int] | None = None,
    now: datetime | None = None,
) -> list[TrashedAdapter]:
    """Delete versions by policy: out of the registry, with an entry for each; their bytes wait in the trash.

    The facts are read again under the lock. Raise Refusal, and delete nothing, if one of them is to stay.
    """
    with store.refusing(principal):
        authorize(ADMINISTER, Attempt("delete by policy"))
        with store.locked() as transaction:
            connection = transaction.session.connection()
            every = {one.key: one for one in stored_adapters(connection, sizes=sizes, now=now)}
            decided = decide_retention(every.values(), policy, now or datetime.now(UTC))
            made = []
            for one in wanted:
                attempt = Attempt("delete by policy", one.slot.model_name, one.version)
                found = every.get((str(one.slot), one.version))
                if found is None or found.bundle != one.bundle:
                    raise attempt.refused(
                        f"{one.slot} v{one.version} is not what it was when the plan was made; make it again: elp gc"
                    )
                decision = decided[found.key]
                if decision.keep:
                    raise attempt.refused(f"{one.slot} v{one.version} is not deleted by policy: {decision.reason}")
                made.append(_trash(store, transaction, one.slot, found, decision.reason, principal))
            return made


def restore_adapters(store: LockedStore, slot: str, version: int | None, principal: Principal) -> RestoredAdapters:
    """Bring back what is in the trash: all, of one slot, or one version.

    What cannot come back is named, and stays. Raise Refusal if a slot is given and nothing of it comes back.
    """
    attempt = Attempt("restore from the trash", Slot.parse(slot).model_name if slot else "", version)
    with store.refusing(principal):
        authorize(ADMINISTER, attempt)
        with store.locked() as transaction:
            session, done, left = transaction.session, list[TrashedAdapter](), list[str]()
            for row in waiting_rows(session):
                if slot not in ("", slot_name(row)) or version not in (None, row.version):
                    continue
                if why := hindrance(session, row):
                    left.append(why)
                else:
                    restore_row(transaction, row, principal)
                    done.append(_trashed(row))
            if slot and not done:
                name = f"{slot} v{version}" if version else slot
                raise attempt.refused(
                    left[0] if left else f"nothing of {name} is in the trash, or its bytes are gone already"
                )
            return RestoredAdapters(tuple(done), tuple(left))


def restore_by_keys(store: LockedStore, slot: Slot, keys: Sequence[str], principal: Principal) -> int | None:
    """Bring back the version that one of these training keys made, if it is in the trash; return its number.

    This takes the right to train: to train it again would make a second version of one training.
    """
    with store.refusing(principal):
        authorize(TRAIN, Attempt("restore a training", slot.model_name))
        with store.locked() as transaction:
            found = (restore_key(transaction, slot, key, principal) for key in keys)
            return next((version for version in found if version is not None), None)


def empty_trash(
    store: LockedStore, policy: RetentionPolicy, principal: Principal, now: datetime | None = None
) -> list[TrashedAdapter]:
    """Delete for good what has been in the trash for `policy.trash`, and what a killed call began to delete.

    One call deletes `MOST` versions or a few more; the next one continues. What is held by now keeps its bytes, and so
    does what another version is based on or learned from, in the registry or in the trash.
    """
    with store.refusing(principal):
        authorize(ADMINISTER, Attempt("empty the trash"))
        with store.locked() as transaction:
            _begin(transaction, policy, principal, now or datetime.now(UTC))
    gone = []
    with store.ManagedSessionMaker() as session:
        rows = session.execute(select(TRASH).where(TRASH.c.state == "emptying").order_by(TRASH.c.seq)).all()
    for row in rows:
        _delete_bytes(store, json.loads(row.row))
        with store.locked() as transaction:
            transaction.session.execute(delete(TRASH).where(TRASH.c.seq == row.seq))
        gone.append(_trashed(row))
    return gone


def _trash(
    store: LockedStore,
    transaction: LedgerTransaction,
    slot: Slot,
    found: StoredAdapter,
    reason: str,
    principal: Principal,
) -> TrashedAdapter:
    session, model = transaction.session, slot.model_name
    row = any_row(session, model, found.version)
    before = {name: getattr(row, name) for name in CLEARED} | {"storage_location": row.storage_location}
    before |= {"model_id": found.model, "run": found.run, "bundle": found.bundle}
    before |= {"dataset": found.dataset}
    # the guard's own method would record a deletion by hand
    LockedStore.delete_model_version(store, model, found.version)
    detail = {"policy": reason, "bytes": found.bytes, "dataset": found.dataset}
    about: dict[str, Any] = {"after": found.version, "bundle": found.bundle, "detail": detail}
    entry = transaction.append("deleted", str(slot), principal, reason=f"retention: {reason}", **about)
    values = {"seq": entry.seq, "model": model, "version": found.version, "at": entry.at, "state": "trashed"}
    session.execute(insert(TRASH).values(**values, row=json.dumps(before), bytes=found.bytes))
    return TrashedAdapter(entry.seq, str(slot), found.version, entry.at, found.bytes, "trashed", found.dataset)


def _begin(transaction: LedgerTransaction, policy: RetentionPolicy, principal: Principal, now: datetime) -> None:
    """Lift the freeze of what is due, and record what goes, in one transaction."""
    session = transaction.session
    rows = waiting_rows(session)
    over = {row.seq for row in rows if now - moment(row.at, "at") >= policy.trash and not _held(session, row, now)}
    if not over:
        return
    # what stays in the trash may come back, and needs its parents as a live version does
    needed = needed_parents(session.connection(), [_bundle(row) for row in rows if row.seq not in over])
    due = [row for row in rows if row.seq in over and _bundle(row) not in needed]
    if not due:
        return
    if len(due) > MOST:
        # until the next call, the others may come back: a parent waits for all that learned from it
        needed = needed_parents(session.connection(), [_bundle(row) for row in due])
        due = [row for row in due if _bundle(row) not in needed][:MOST]
    # before the question below: what goes now keeps nothing else
    session.execute(update(TRASH).where(TRASH.c.seq.in_([row.seq for row in due])).values(state="emptying"))
    removed: list[dict[str, Any]] = []
    for row in due:
        before = json.loads(row.row)
        taken = _in_use(transaction, before)
        path = served_path(before["storage_location"] or "") or ""
        # another version on the same logged model keeps its bytes, also one that the trash may bring back
        if before["model_id"] not in taken and path:
            thaw(session, path)
            removed.append({"slot": slot_name(row), "version": row.version, "entry": row.seq, "path": path})
    transaction.append("trash emptied", "", principal, detail={"removed": removed})


def _bundle(row: Any) -> str:
    return str(json.loads(row.row)["bundle"])


def _held(session: Any, row: Any, now: datetime) -> bool:
    return any(hold.held.covers_adapter(slot_name(row), row.version) for hold in stored_holds(session, now))


def _in_use(transaction: LedgerTransaction, before: Mapping[str, Any]) -> set[str]:
    """Return which of the run and the logged model of a trashed version another version is based on."""
    one = StoredAdapter("", 0, "", "", before["run"], before["model_id"])
    return same_origin(transaction.session.connection(), [one])


def _delete_bytes(store: LockedStore, before: Mapping[str, Any]) -> None:
    """Delete the logged model and the run's artifacts and curves, but what is frozen: the evidence of the gate."""
    with store.locked() as transaction:
        taken = _in_use(transaction, before)
    if before["model_id"] and before["model_id"] not in taken:
        path = served_path(before["storage_location"] or "")
        if path is not None:
            prune_folder(store, path)
        _delete_model(before["model_id"])
    if before["run"] and before["run"] not in taken:
        try:
            path = served_path(run_location(before["run"]))
        except MlflowException:
            # the run itself was deleted in MLflow
            return
        if path is not None:
            prune_folder(store, path)
        with tracking_store().ManagedSessionMaker(read_only=False) as session:
            # the last values stay with the run: the curves are most of the rows
            session.execute(delete(SqlMetric).where(SqlMetric.run_uuid == before["run"]))


def _delete_model(model_id: str) -> None:
    try:
        delete_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _trashed(row: Any) -> TrashedAdapter:
    dataset = str(json.loads(row.row)["dataset"])
    return TrashedAdapter(row.seq, slot_name(row), row.version, row.at, row.bytes, row.state, dataset)


def trash_json(trashed: Iterable[TrashedAdapter]) -> list[dict[str, Any]]:
    """Return what the API sends."""
    return [asdict(one) for one in trashed]
