"""What the ledger says of deleted data files: by which entry each of them went, and which ones an erasure removed."""

from collections.abc import Collection, Iterator
from contextlib import suppress

from pipelines.audit.server_records import ServerRecords
from pipelines.datasets.dvc import DvcRemote
from pipelines.errors import AttestationError
from pipelines.number_text import count
from pipelines.registry.ledger.entry import LedgerEntry, read_entry
from pipelines.retention.data_trash import FOLDER, TrashedFile, list_trash

ERASURE = "an erasure"
"""The reason in the entries about files that an erasure removed."""


def data_deletions(uri: str) -> dict[int, LedgerEntry]:
    """Return the entries that record deleted data files, by number."""
    return {entry.seq: entry for entry in _entries(uri) if entry.event == "data deleted"}


def own_trash(stored: DvcRemote, uri: str) -> dict[TrashedFile, LedgerEntry]:
    """Return the files that this ledger's entries moved to the trash, each with its entry, by number and name.

    A workspace with another server on the same remote has its files in the same trash, and entries of its own.
    """
    trashed = list_trash(stored)
    made = data_deletions(uri) if trashed else {}
    return {
        one: made[one.seq] for one in trashed if one.seq in made and one.md5 in made[one.seq].detail.get("files", {})
    }


def foreign_trash(stored: DvcRemote, trashed: Collection[TrashedFile], own: Collection[TrashedFile]) -> str:
    """Return how many files of the trash are not this ledger's own, and where they are; empty if there is none."""
    if len(trashed) <= len(own):
        return ""
    return (
        f"no entry of this ledger names {count(len(trashed) - len(own), 'data file')} in {stored.address}/{FOLDER}: "
        "another workspace moved them there, or this one did after the backup that was restored"
    )


def deleted_files(uri: str) -> dict[str, int]:
    """Return the data files that the ledger records as deleted by policy and not restored: the entry by MD5."""
    return {md5: entry.seq for md5, entry in _last_deletions(uri).items()}


def erased_data(uri: str) -> frozenset[str]:
    """Return the MD5 of every file that an erasure removed.

    The last entry about a file counts: one that was delivered again after the erasure, and removed by the retention, is
    no erased file any more.
    """
    return frozenset(md5 for md5, entry in _last_deletions(uri).items() if entry.reason == ERASURE)


def _last_deletions(uri: str) -> dict[str, LedgerEntry]:
    found: dict[str, LedgerEntry] = {}
    for entry in _entries(uri):
        files = entry.detail.get("files", {})
        if entry.event == "data deleted":
            found |= dict.fromkeys(files, entry)
        else:
            found = {md5: deletion for md5, deletion in found.items() if md5 not in files}
    return found


def _entries(uri: str) -> Iterator[LedgerEntry]:
    for row in ServerRecords(uri).ledger(""):
        # most entries are about something else, and parsing takes the time
        if '"data deleted"' in row.entry or '"restored"' in row.entry:
            with suppress(AttestationError):
                entry = read_entry(row.entry)
                if entry.event in ("data deleted", "restored"):
                    yield entry
