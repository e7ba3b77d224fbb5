"""The plan of `elp gc`: every adapter, dataset version and golden set, whether it is kept, why, and what is freed."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from pipelines.audit.data_index import open_index
from pipelines.audit.server_records import ServerRecords
from pipelines.datasets.dvc import DvcRemote, dvc_remote
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError, VersioningError, WorkspaceError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.client.server_api import call_server, read_holds
from pipelines.registry.holds import Hold
from pipelines.registry.retention import AdapterKey, KeepDecision, RetentionPolicy, StoredAdapter, decide_retention
from pipelines.retention.data_plan import (
    DataPlan,
    RemoteFile,
    cached_files,
    decide_files,
    decide_versions,
    read_stored,
)
from pipelines.retention.deleted_data import foreign_trash, own_trash
from pipelines.retention.listings import Listings
from pipelines.retention.named_data import (
    TaggedData,
    copies_of_others,
    fetch_named,
    lost_data,
    named_elsewhere,
    named_in_history,
    tagged_data,
)
from pipelines.retention.subject_files import files_to_erase, held_files, held_versions, read_unknown

Log = Callable[[str], None]


@dataclass(frozen=True)
class StoredRecords:
    """What the server says for a plan."""

    adapters: tuple[StoredAdapter, ...]
    holds: tuple[Hold, ...]
    datasets_in_use: frozenset[str]
    trash: tuple[Mapping[str, object], ...]
    """Adapters in the trash, as the server lists them."""
    old_runs: int = 0
    """MLflow's runs that no version is based on and whose time is over."""
    old_models: int = 0
    """The same of logged models."""


@dataclass(frozen=True)
class RemovalPlan:
    """The whole plan. Nothing has been done."""

    policy: RetentionPolicy
    records: StoredRecords
    adapters: Mapping[AdapterKey, KeepDecision]
    data: DataPlan

    @property
    def removed_adapters(self) -> list[StoredAdapter]:
        """Return the adapters that go, by slot and version."""
        return [one for one in self.records.adapters if not self.adapters[one.key].keep]

    @property
    def removed_bytes(self) -> int:
        """Return the bytes that all removals free when the trash is emptied."""
        return sum(one.bytes for one in self.removed_adapters) + sum(self.data.removed.values())


def read_records(uri: str) -> StoredRecords:
    """Ask the server what is stored."""
    found = call_server(uri, "GET", "/retention", params={"sizes": "true"})
    return StoredRecords(
        tuple(StoredAdapter.from_json(one) for one in found["adapters"]),
        tuple(Hold(**one) for one in found["holds"]),
        frozenset(found["datasets_in_use"]),
        tuple(found["trash"]),
        int(found["unregistered"]["runs"]),
        int(found["unregistered"]["models"]),
    )


def plan_removal(
    workspace: Workspace, log: Log, subject: Subject | None = None, now: datetime | None = None
) -> RemovalPlan:
    """Plan what the policy removes; with a `subject`, also the files that an erasure removes.

    Raise GateRefused if the subject is held, UsageError if it was not dropped, WorkspaceError if there is no version.
    """
    now, policy, uri = now or datetime.now(UTC), workspace.settings.retention, mlflow_uri(workspace)
    log("asking the server what is stored")
    records = read_records(uri)
    decided = decide_retention(records.adapters, policy, now)
    if address := workspace.settings.git:
        # what a worker pushed is not here yet, and would look like files that nothing names
        log(f"fetching {address}")
        fetch_named(workspace.root, address)
    tagged = tagged_data(workspace.root)
    if not tagged and subject is not None:
        raise WorkspaceError(
            f"{subject} is not erased: {workspace.root} has no tag of a dataset version, so it is not known which "
            "files are its own; expected tags such as data/SITE/TASK/v1; fetch them: git fetch --tags"
        )
    if not tagged:
        return RemovalPlan(policy, records, decided, DataPlan({}, {}))
    log("listing the DVC remote")
    with dvc_remote(workspace.root) as stored:
        data = _plan_data(workspace, stored, tagged, records, decided, subject, now, log)
    return RemovalPlan(policy, records, decided, data)


def _dataset_reasons(records: StoredRecords, decided: Mapping[AdapterKey, KeepDecision]) -> dict[str, str]:
    """Return why dataset versions are kept, by tag: by the adapters that were trained on them, and by trainings."""
    reasons: dict[str, str] = {}
    for one in records.adapters:
        if decided[one.key].keep and one.dataset:
            reasons.setdefault(one.dataset, f"{one.slot} v{one.version} was trained on it")
    reasons |= dict.fromkeys(records.datasets_in_use, "a training reads it")
    for one in records.adapters:
        if not decided[one.key].keep and one.dataset:
            # its data stays as long as undo may bring it back
            reasons.setdefault(one.dataset, f"{one.slot} v{one.version}, which goes to the trash, was trained on it")
    # what the trash may bring back has its data, too
    for trashed in records.trash:
        if trashed.get("dataset"):
            reasons.setdefault(
                str(trashed["dataset"]), f"{trashed['slot']} v{trashed['version']} in the trash needs it"
            )
    return reasons


def _plan_data(
    workspace: Workspace,
    stored: DvcRemote,
    tagged: list[TaggedData],
    records: StoredRecords,
    decided: Mapping[AdapterKey, KeepDecision],
    subject: Subject | None,
    now: datetime,
    log: Log,
) -> DataPlan:
    policy, uri = workspace.settings.retention, mlflow_uri(workspace)
    reasons = _dataset_reasons(records, decided)
    versions = decide_versions(tagged, reasons, policy, now)
    held_tags = held_versions(records.holds, records.adapters, versions.keys())
    copies = copies_of_others(policy, workspace.cache)
    lost = lost_data(workspace.root, copies, {*reasons, *chain.from_iterable(held_tags.values())}, tagged)
    if lost and subject is not None:
        raise VersioningError(f"{subject} is not erased: {lost}")
    for tag, decision in versions.items():
        hold = next((one for one in records.holds if one.held.covers_dataset(tag)), None)
        if hold is not None and not decision.keep:
            versions[tag] = KeepDecision(True, hold.summary)
    others = set[str]().union(*(named_in_history(one) for one in copies))
    listings, files = Listings(stored, uri), read_stored(stored)
    holding = {one.tag: listings.files(one.hashes, one.tag, needed=versions[one.tag].keep) for one in tagged}
    theirs = listings.files(sorted(others), "another repository", needed=False)
    elsewhere = theirs | listings.files(sorted(named_elsewhere(workspace.root, tagged)), "a branch", needed=False)
    undeclared = _undeclared(workspace, policy)
    on_hold = {
        hold: frozenset[str]().union(*(holding[tag] for tag in holding.keys() & tags))
        for hold, tags in held_tags.items()
    }
    held, erased = frozenset[str](), frozenset[str]()
    speakers, trashed = [one for one in records.holds if one.held.speaker], own_trash(stored, uri)
    if subject is not None or speakers:
        log("looking for the recordings")
        # what only others name, or may name in a listing that cannot be read, is not read, and theirs to erase
        ours = frozenset[str]().union(*holding.values())
        not_ours = (files.keys() if undeclared or others & listings.unreadable else theirs) - ours
        with open_index(workspace, log) as db:
            # DVC's cache may have files that the remote has lost
            cached = cached_files(stored) - files.keys() if subject is not None else frozenset[str]()
            unread = read_unknown(db, stored, (files.keys() - not_ours) | cached, trashed, log)
            on_hold |= {hold: held_files(db, hold) for hold in speakers}
            # a held speaker may be in a file that cannot be read
            held = unread.union(*(on_hold[hold] for hold in speakers)) if speakers else held
            if subject is not None:
                _require_known({one.tag: one.hashes for one in tagged}, held_tags, listings)
                unnamed = ours | (_settled(files, policy, now) - not_ours) | cached | {one.md5 for one in trashed}
                erased = files_to_erase(db, stored, uri, subject, on_hold, unnamed)
                _require_dropped(tagged, holding, listings, erased, subject)
    plan = decide_files(files, versions, holding, elsewhere, held, erased, policy, now)
    blocked = undeclared or lost or listings.gap
    # an erasure is of files that belong to this repository
    kept = {md5: size for md5, size in plan.removed.items() if md5 in erased} if blocked else plan.removed
    foreign = foreign_trash(stored, listings.trash, trashed)
    return replace(plan, blocked=blocked, foreign=foreign, removed=kept, on_hold=held.union(*on_hold.values()))


def _require_dropped(
    tagged: Iterable[TaggedData],
    holding: Mapping[str, frozenset[str]],
    listings: Listings,
    erased: frozenset[str],
    subject: Subject,
) -> None:
    """Raise UsageError if a newest version has a file of an erasure, VersioningError if its files are not known.

    The listings decide, not the index, which has no files of a version that it could not read as a whole.
    """
    newest = {(str(one.slot), one.kind): one for one in sorted(tagged, key=lambda one: one.number)}.values()
    for one in newest:
        if not listings.known(one.hashes):
            raise VersioningError(
                f"the listing of {one.tag}, a newest version, cannot be read, so it is not known whether it holds "
                f"{subject}; restore the remote, or push it from a machine that has it: dvc push --all-tags"
            )
    if current := sorted({str(one.slot) for one in newest if erased & holding[one.tag]}):
        drops = " && ".join(f"elp data drop {slot} {subject.option}" for slot in current)
        raise UsageError(f"the newest version of {current[0]} holds {subject}; drop the recordings first: {drops}")


def _require_known(
    hashes: Mapping[str, tuple[str, ...]], held: Mapping[Hold, Collection[str]], listings: Listings
) -> None:
    """Raise VersioningError if the files that a hold keeps are not known, although no policy deleted them.

    Args:
        hashes: The tracked folders of each version, by tag.
        held: The tags that each hold keeps.
        listings: What was asked for the files of these folders.
    """
    for hold, tag in ((hold, tag) for hold, tags in held.items() for tag in sorted(hashes.keys() & tags)):
        if not listings.known(set(hashes[tag]) - listings.deleted_by_policy()):
            raise VersioningError(
                f"the listing of {tag} cannot be read, so it is not known which files {hold.summary} keeps from an "
                "erasure; restore the remote, or push it from a machine that has it: dvc push --all-tags; or end the "
                f"hold: elp hold end {hold.number}"
            )


def files_on_hold(
    workspace: Workspace, db: sqlite3.Connection, stored: DvcRemote, uri: str
) -> dict[Hold, frozenset[str]]:
    """Return the files that each hold keeps, as the plan of `elp gc` finds them: by the listings, not by the index.

    Raise DataRemoteAway if the remote is a share that is not mounted: what is in it would not count as held.
    Raise VersioningError if the files that a hold keeps are not known.
    """
    if not (holds := read_holds(uri)):
        return {}
    stored.require_there()
    tagged, listings = tagged_data(workspace.root), Listings(stored, uri)
    hashes = {one.tag: one.hashes for one in tagged}
    adapters = (one for one in ServerRecords(uri).adapters() if not one.deleted)
    tags, found = held_versions(holds, adapters, hashes.keys()), {}
    copies = copies_of_others(workspace.settings.retention, workspace.cache)
    if lost := lost_data(workspace.root, copies, chain.from_iterable(tags.values()), tagged):
        raise VersioningError(lost)
    for hold, held in tags.items():
        known = (listings.files(hashes[tag], tag, needed=True) for tag in hashes.keys() & held)
        found[hold] = held_files(db, hold).union(*known)
    _require_known(hashes, tags, listings)
    return found


def unnamed_files(
    workspace: Workspace, db: sqlite3.Connection, stored: DvcRemote, uri: str, log: Log
) -> frozenset[str]:
    """Read who is in the stored files that an erasure takes although no known version may name them; return these.

    In a remote that others use, these are only the files in the trash: the plan of `elp gc` finds out whose the others
    are, and the index keeps the speakers of all files that were read.
    """
    stored.require_there()
    policy, trashed = workspace.settings.retention, own_trash(stored, uri)
    shared = policy.shared_with or _undeclared(workspace, policy)
    files = {} if shared else read_stored(stored)
    read_unknown(db, stored, files, trashed, log)
    return _settled(files, policy, datetime.now(UTC)) | {one.md5 for one in trashed}


def _settled(files: Mapping[str, RemoteFile], policy: RetentionPolicy, now: datetime) -> frozenset[str]:
    """Return the files that belong to no push in flight."""
    return frozenset(md5 for md5, file in files.items() if not file.is_young(policy, now))


def _undeclared(workspace: Workspace, policy: RetentionPolicy) -> str:
    """Return why no data may be removed from this remote; empty if it may."""
    if policy.shared_with is not None:
        return ""
    remote = workspace.remote
    if "://" not in remote and Path(remote).resolve().is_relative_to(workspace.root.resolve()):
        return ""
    return (
        f"other Git repositories may use the DVC remote {remote}; name them in elp.yaml, or say that there is none: "
        "retention: {shared_with: []}"
    )
