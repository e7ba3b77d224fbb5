"""The trash of the DVC remote: ``elp-trash/<entry>/<md5>`` next to its files, by the ledger entry that records it.

A file that something names again while it is in the trash goes back. So a push that found the file just before it went
to the trash loses nothing.
"""

import contextlib
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from elp_core.fail_points import durable_write
from pipelines.datasets.dvc import DvcRemote, listed_files
from pipelines.errors import DataRemoteAway, VersioningError
from pipelines.outages import is_away
from pipelines.retention.data_plan import list_files

FOLDER = "elp-trash"


@dataclass(frozen=True)
class TrashedFile:
    """A file in the trash."""

    seq: int
    """Number of the ledger entry that deleted it."""
    md5: str
    bytes: int


def list_trash(stored: DvcRemote) -> list[TrashedFile]:
    """Return what is in the trash, by entry and name; entries of other servers may have their files there, too."""
    found = []
    for path, about in list_files(stored, _root(stored)).items():
        folder, md5 = posixpath.split(path.replace("\\", "/"))
        if (entry := posixpath.basename(folder)).isdigit():
            found.append(TrashedFile(int(entry), md5, int(about.get("size") or 0)))
    return sorted(found, key=lambda one: (one.seq, one.md5))


def read_listing(stored: DvcRemote, trashed: TrashedFile) -> frozenset[str]:
    """Return the files of a folder whose listing is in the trash: what names the folder again names them, too.

    Raise VersioningError if the listing cannot be read or was changed; DataRemoteAway during an outage.
    """
    with open_trashed(stored, trashed) as file:
        return frozenset(listed_files(trashed.md5, file).values())


@contextlib.contextmanager
def open_trashed(stored: DvcRemote, trashed: TrashedFile) -> Iterator[IO[bytes]]:
    """Open a file of the trash to read it."""
    place = _place(stored, trashed.seq, trashed.md5)
    with _asked(stored, place):
        file = stored.remote.fs.open(place, "rb")
    # outside: a fault of the caller is none of the remote
    with file:
        yield file


def trash_files(stored: DvcRemote, seq: int, md5s: Iterable[str]) -> None:
    """Move files of the remote into the trash of an entry; a file that is not there any more is passed over."""
    for md5 in md5s:
        _move(stored, stored.remote.oid_to_path(md5), _place(stored, seq, md5))


def restore_files(stored: DvcRemote, trashed: Iterable[TrashedFile]) -> None:
    """Move files back; one that was pushed again meanwhile stays as it is, and its copy in the trash goes."""
    for one in trashed:
        place, target = _place(stored, one.seq, one.md5), stored.remote.oid_to_path(one.md5)
        if _exists(stored, target):
            _remove(stored, place)
        else:
            _move(stored, place, target)


def delete_trashed(stored: DvcRemote, trashed: Iterable[TrashedFile]) -> None:
    """Delete files of the trash for good."""
    for one in trashed:
        _remove(stored, _place(stored, one.seq, one.md5))


def _move(stored: DvcRemote, source: str, target: str) -> None:
    if not _exists(stored, source):
        return
    fs = stored.remote.fs
    with _asked(stored, source), durable_write("move to trash or back"):
        fs.makedirs(posixpath.dirname(target), exist_ok=True)
        fs.move(source, target)


def _remove(stored: DvcRemote, place: str) -> None:
    # a run that was killed may have removed it
    if not _exists(stored, place):
        return
    fs = stored.remote.fs
    with _asked(stored, place), durable_write("delete from trash"):
        fs.remove(place)


def _exists(stored: DvcRemote, path: str) -> bool:
    with _asked(stored, path):
        return bool(stored.remote.fs.exists(path))


@contextlib.contextmanager
def _asked(stored: DvcRemote, path: str) -> Iterator[None]:
    try:
        yield
    except VersioningError:
        raise
    except Exception as error:
        # each kind of storage has its own error classes
        raise (DataRemoteAway if is_away(error) else VersioningError)(
            f"the DVC remote {stored.address} does not do what was asked at {path}: {error}; run elp gc again"
        ) from error


def _root(stored: DvcRemote) -> str:
    base = str(stored.remote.path).removesuffix("/files/md5")
    return posixpath.join(base, FOLDER)


def _place(stored: DvcRemote, seq: int, md5: str) -> str:
    return posixpath.join(_root(stored), str(seq), md5)
