"""Carry out a plan: adapters through the server, data through the trash of the DVC remote; undo, and the end of both.

Killed anywhere and run again, it continues. Of two at once in one workspace folder, the second is refused. The lock on
the workspace's data is held while files move, so that no intake of this machine runs; a push from another machine is
covered by the grace, and by the trash: what is named again goes back.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from pipelines.datasets.dvc import DvcRemote, dvc_remote
from pipelines.datasets.subject import Subject
from pipelines.errors import WorkspaceError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.number_text import count
from pipelines.registry.client.server_api import call_server, current_user
from pipelines.registry.retention import RetentionPolicy, StoredAdapter
from pipelines.registry.signing.canonical_json import moment
from pipelines.retention.data_plan import DataPlan
from pipelines.retention.data_trash import TrashedFile, delete_trashed, restore_files, trash_files
from pipelines.retention.deleted_data import ERASURE, erased_data, own_trash
from pipelines.retention.removal_plan import Log, RemovalPlan, plan_removal

_ADAPTERS, _FILES = 500, 5000
"""Items in one request: the ledger is locked meanwhile, and an entry is 1 MiB at most."""
_WAIT_SECONDS = 600.0
T = TypeVar("T")


@dataclass(frozen=True)
class Swept:
    """What `elp gc` did."""

    adapters: int = 0
    """Into the trash."""
    files: int = 0
    """Data files into the trash."""
    rescued: int = 0
    """Data files that were in the trash and that something names again."""
    emptied_adapters: int = 0
    """Deleted for good, because their time in the trash was over."""
    emptied_files: int = 0
    bytes: int = 0
    """Of what went to the trash."""
    runs: int = 0
    """MLflow's runs without a version, deleted for good."""
    models: int = 0
    """Logged models without a version."""


def sweep(workspace: Workspace, log: Log, subject: Subject | None = None, by: str = "") -> tuple[RemovalPlan, Swept]:
    """Make the plan and carry it out under the locks. Raise WorkspaceError if another one is running."""
    with _alone(workspace):
        uri, name = mlflow_uri(workspace), by or current_user()
        _require_right(uri, name)
        plan = plan_removal(workspace, log, subject)
        removed, gone = plan.removed_adapters, plan.data.removed
        if removed:
            log(f"{count(len(removed), 'adapter')} into the trash")
        for some in _chunks(removed, _ADAPTERS):
            _trash_adapters(workspace, uri, some, name)
        files, rescued, emptied = 0, 0, 0
        if plan.data.versions:
            with dvc_remote(workspace.root) as stored:
                rescued = _rescue(stored, uri, plan, name)
                files = _trash_data(stored, uri, workspace, plan.data, name)
                _mark_erased(stored, uri, plan.data, name)
                emptied = _empty_data(stored, uri, plan.policy, name)
        runs, models = _sweep_runs(uri, name)
        bytes_gone = sum(one.bytes for one in removed) + sum(gone.values())
        emptied_adapters = _empty_adapters(uri, name)
        return plan, Swept(len(removed), files, rescued, emptied_adapters, emptied, bytes_gone, runs, models)


class Undone(NamedTuple):
    """What `elp gc undo` brought back, and what it left in the trash."""

    adapters: int
    files: int
    left: tuple[str, ...] = ()
    """Adapters that cannot come back, each with the reason."""
    erased: int = 0
    """Data files that an erasure removed: only a hold brings them back."""


def undo(workspace: Workspace, slot: str = "", version: int | None = None, by: str = "") -> Undone:
    """Bring back what is in the trash: all, or the adapters of one slot; all data comes back, but what was erased."""
    with _alone(workspace):
        uri, name = mlflow_uri(workspace), by or current_user()
        _require_right(uri, name)
        body = {"by": name} | ({"slot": slot} if slot else {}) | ({} if version is None else {"version": version})
        erased = erased_data(uri)
        # the data first: an adapter that is back has its data
        with dvc_remote(workspace.root) as stored:
            trashed = own_trash(stored, uri)
            files = _restore_data(stored, uri, [one for one in trashed if one.md5 not in erased], name, "undone")
        answer = call_server(uri, "POST", "/restore", json=body)
        return Undone(len(answer["restored"]), files, tuple(answer["left"]), len(trashed) - files)


def _require_right(uri: str, by: str) -> None:
    """Raise GateRefused before files move if the server lets only others delete by policy."""
    call_server(uri, "POST", "/may-remove", json={"by": by})


@contextlib.contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    locks = workspace.state / "locks"
    try:
        with file_lock(locks / "gc.lock", wait=0), file_lock(locks / "data.lock", wait=_WAIT_SECONDS):
            yield
    except TimeoutError as error:
        raise WorkspaceError(
            f"another elp gc, or a change of the data, is running: {error}; try again later"
        ) from error


def _trash_adapters(workspace: Workspace, uri: str, some: Sequence[StoredAdapter], by: str) -> None:
    versions = [{"slot": one.slot, "version": one.version, "bundle": one.bundle} for one in some]
    call_server(uri, "POST", "/trash", json={"versions": versions, "by": by})
    for one in some:
        # a cache may be deleted at any time
        shutil.rmtree(workspace.cache / "adapters" / one.bundle.replace(":", "-"), ignore_errors=True)


def _empty_adapters(uri: str, by: str) -> int:
    total = 0
    while emptied := call_server(uri, "POST", "/empty-trash", json={"by": by})["emptied"]:
        total += len(emptied)
    return total


def _sweep_runs(uri: str, by: str) -> tuple[int, int]:
    """Have the server delete what no version is based on; return the numbers of runs and logged models."""
    runs = models = 0
    while any((done := call_server(uri, "POST", "/sweep-runs", json={"by": by})).values()):
        runs, models = runs + len(done["runs"]), models + len(done["models"])
    return runs, models


def _trash_data(stored: DvcRemote, uri: str, workspace: Workspace, plan: DataPlan, by: str) -> int:
    gone = plan.removed
    # the copies of this machine first, also of files that a run moved before it was killed: the moves take long
    for md5 in {*gone, *plan.erased}:
        for place in (stored.cached(md5), workspace.cache / "files" / md5[:2] / f"{md5}.parquet"):
            if place is not None:
                place.unlink(missing_ok=True)
    # listings first: DVC takes a folder for complete if the remote has its listing
    ordered = sorted(gone, key=lambda md5: (not md5.endswith(".dir"), md5))
    # apart, each with its reason: what an erasure removed does not come back if a kept version names it
    erased = [md5 for md5 in ordered if md5 in plan.erased]
    others = [md5 for md5 in ordered if md5 not in plan.erased]
    for reason, md5s in ((ERASURE, erased), ("retention", others)):
        for some in _chunks(md5s, _FILES):
            files = {md5: gone[md5] for md5 in some}
            # the entry first: a file that is gone without one would be reported as missing
            entry = _record(uri, "data deleted", files, reason, by)
            trash_files(stored, entry, some)
    return len(gone)


def _mark_erased(stored: DvcRemote, uri: str, plan: DataPlan, by: str) -> None:
    """Record an erasure of files that the retention had moved to the trash before: undo leaves them there from now on.

    They keep their place, and so the time at which they are deleted for good.
    """
    if not plan.erased:
        return
    known = erased_data(uri)
    waiting = {one.md5: one.bytes for one in own_trash(stored, uri) if one.md5 in plan.erased - known}
    for some in _chunks(sorted(waiting), _FILES):
        _record(uri, "data deleted", {md5: waiting[md5] for md5 in some}, ERASURE, by)


def _rescue(stored: DvcRemote, uri: str, plan: RemovalPlan, by: str) -> int:
    """Bring back from the trash what something that is kept names; what an erasure removed, for a hold only."""
    wanted = [one for one in own_trash(stored, uri) if one.md5 in plan.data.kept]
    if not wanted:
        return 0
    erased = erased_data(uri)
    wanted = [one for one in wanted if one.md5 not in erased or one.md5 in plan.data.on_hold]
    return _restore_data(stored, uri, wanted, by, "named again")


def _restore_data(stored: DvcRemote, uri: str, trashed: Sequence[TrashedFile], by: str, reason: str) -> int:
    # listings last, for the same reason
    ordered = sorted(trashed, key=lambda one: one.md5.endswith(".dir"))
    for some in _chunks(ordered, _FILES):
        # the files first: an entry about a file that is still away would report it as missing
        restore_files(stored, some)
        _record(uri, "restored", {one.md5: one.bytes for one in some}, reason, by)
    return len(trashed)


def _empty_data(stored: DvcRemote, uri: str, policy: RetentionPolicy, by: str) -> int:
    now, trashed = datetime.now(UTC), own_trash(stored, uri)
    due = [one for one, entry in trashed.items() if now - moment(entry.at, "at") >= policy.trash]
    for some in _chunks(due, _FILES):
        _record(uri, "trash emptied", {one.md5: one.bytes for one in some}, "its time in the trash is over", by)
        delete_trashed(stored, some)
    return len(due)


def _record(uri: str, event: str, files: Mapping[str, int], reason: str, by: str) -> int:
    body = {"event": event, "files": dict(files), "reason": reason, "by": by}
    return int(call_server(uri, "POST", "/data-files", json=body)["seq"])


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
