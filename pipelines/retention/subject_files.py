"""The files of the DVC remote that hold the recordings of a person: those that are held, and those of an erasure."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import IO

from pipelines.audit.data_index import add_file
from pipelines.audit.erasure_plan import ErasurePlan, nothing_holds, plan_erasure
from pipelines.audit.server_records import ServerRecords
from pipelines.audit.trained_on import rows_of
from pipelines.datasets.dvc import DvcRemote
from pipelines.datasets.subject import Subject
from pipelines.errors import DataRemoteAway, GateRefused, VersioningError
from pipelines.number_text import count
from pipelines.outages import read_faults
from pipelines.registry.holds import Hold, speaker_digest
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.retention import StoredAdapter
from pipelines.registry.slot import Slot
from pipelines.retention.data_trash import TrashedFile, open_trashed
from pipelines.retention.deleted_data import own_trash
from pipelines.sqlite_transaction import sqlite_transaction

_PARQUET = b"PAR1"
"""The first bytes of a shard."""


def held_files(db: sqlite3.Connection, hold: Hold) -> frozenset[str]:
    """Return the MD5 of every file with a recording of the speaker whom a hold names."""
    names = db.execute("SELECT DISTINCT speaker FROM clip WHERE speaker != ''").fetchall()
    held = (name for (name,) in names if speaker_digest(name) == hold.held.speaker)
    return frozenset[str]().union(*(_files_with(db, Subject(speaker=name)) for name in held))


def held_versions(
    holds: Iterable[Hold], adapters: Iterable[StoredAdapter | RegisteredAdapter], tags: Collection[str]
) -> dict[Hold, set[str]]:
    """Return which dataset versions each hold keeps: those that it names, and the data of adapters that it names.

    `tags` are the versions of this repository. Others are among the found ones if a hold or its adapter names them.
    """
    trained = [(one.slot, one.version, one.dataset) for one in adapters if one.dataset]
    found = {}
    for hold in holds:
        wanted = {dataset for slot, version, dataset in trained if hold.held.covers_adapter(slot, version)}
        named = {hold.subject} if hold.held.dataset is not None else set[str]()
        found[hold] = wanted | named | {tag for tag in tags if hold.held.covers_dataset(tag)}
    return found


def files_to_erase(
    db: sqlite3.Connection,
    stored: DvcRemote,
    uri: str,
    subject: Subject,
    on_hold: Mapping[Hold, frozenset[str]],
    unnamed: Collection[str],
) -> frozenset[str]:
    """Return the MD5 of every file that goes for the erasure of a subject, in the remote or in its trash.

    `on_hold` has the files that each hold keeps; `unnamed` are files that go although no known version names them.
    Raise GateRefused if a hold is on the subject, on what holds its recordings, or on one of the files: the next
    collection would bring it back. Raise VersioningError if nothing holds the subject.
    """
    plan = plan_erasure(db, ServerRecords(uri), subject, None, stored.place, unnamed=unnamed)
    if not plan.files and not plan.found.holdings and not plan.found.adapters:
        # adapters whose data is unknown have a plan, and no file that could go: a mistyped name would be a success
        raise nothing_holds(plan.found)
    for hold in holds_against(plan, on_hold, stored, uri):
        raise GateRefused(
            f"{subject} is not erased: {hold.summary}; elp data drop takes the recordings out of use all the same. "
            f"Ask {hold.by}, or end the hold: elp hold end {hold.number} --reason TEXT"
        )
    return frozenset(one.md5 for one in plan.files)


def read_unknown(
    db: sqlite3.Connection,
    stored: DvcRemote,
    md5s: Iterable[str],
    trashed: Iterable[TrashedFile],
    log: Callable[[str], None],
) -> frozenset[str]:
    """Read who is in those files of the remote, of its trash or of DVC's cache that the index does not know.

    The index follows the listings of versions. The listing of a file's version may be gone, and the index may be new.
    Return the files that cannot be read. Each of the others is read once.
    """
    known = {md5 for (md5,) in db.execute("SELECT md5 FROM file")}
    opened: dict[str, Callable[[], AbstractContextManager[IO[bytes]]]] = {
        **{one.md5: partial(open_trashed, stored, one) for one in trashed},
        **{md5: partial(stored.open, md5) for md5 in md5s},
    }
    unknown = sorted(md5 for md5 in opened.keys() - known if not md5.endswith(".dir"))
    if unknown:
        log(f"reading who is in {count(len(unknown), 'file')} that no known version names")
    unread = set[str]()
    for md5 in unknown:
        try:
            with opened[md5]() as file:
                _add(db, md5, file)
        except DataRemoteAway:
            raise
        except VersioningError as error:
            log(str(error))
            unread.add(md5)
    return frozenset(unread)


def _add(db: sqlite3.Connection, md5: str, file: IO[bytes]) -> None:
    with read_faults(f"the file with the MD5 {md5}", ", so it is not known who is in it"):
        begin, size = file.read(len(_PARQUET)), file.seek(0, 2)
    with sqlite_transaction(db):
        if db.execute("SELECT 1 FROM file WHERE md5 = ?", (md5,)).fetchone():
            # another process has read it meanwhile
            return
        if begin == _PARQUET:
            add_file(db, md5, md5, file)
        else:
            # DVC keeps other files in a remote, too
            db.execute("INSERT INTO file (md5, name, bytes) VALUES (?, ?, ?)", (md5, md5, size))


def _files_with(db: sqlite3.Connection, subject: Subject) -> frozenset[str]:
    where, values = rows_of(subject)
    rows = f"SELECT DISTINCT file FROM clip WHERE {where}"
    return frozenset(md5 for (md5,) in db.execute(f"SELECT md5 FROM file WHERE id IN ({rows})", values))


def holds_against(plan: ErasurePlan, on_hold: Mapping[Hold, frozenset[str]], stored: DvcRemote, uri: str) -> list[Hold]:
    """Return the holds that refuse an erasure: on its subject, on what holds its recordings, or on a file of it.

    `on_hold` has the files that each hold keeps.
    """
    shared = frozenset(one.md5 for one in plan.files).intersection(frozenset[str]().union(*on_hold.values()))
    # the index never forgets a file, and one that was deleted for good needs no hold
    gone = {md5 for md5 in stored.missing(shared) if not stored.cached(md5)} if shared else set[str]()
    if gone:
        gone -= {one.md5 for one in own_trash(stored, uri)}
    return [hold for hold, kept in on_hold.items() if _covers(hold, plan) or shared & kept - gone]


def _covers(hold: Hold, plan: ErasurePlan) -> bool:
    held, found = hold.held, plan.found
    if held.speaker:
        names = {*found.speakers, *([found.subject.speaker] if found.subject.speaker else [])}
        return held.speaker in map(speaker_digest, names)
    whole = held.slot if held.version is None and held.dataset is None else None
    return any(held.covers_dataset(one.tag) or _same(whole, one.slot) for one in found.holdings) or any(
        held.covers_adapter(one.slot, one.version) for one in found.adapters
    )


def _same(slot: Slot | None, name: str) -> bool:
    return slot is not None and str(slot) == name
