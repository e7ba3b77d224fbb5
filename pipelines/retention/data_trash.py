"""The trash of the DVC remote: ``elp-trash/<entry>/<md5>`` next to its files, by the ledger entry that records it.

A file that something names again while it is in the trash goes back. So a push that found the file just before it went
to the trash loses nothing.
"""

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from elp_core.fail_points import durable_write
from pipelines.datasets.dvc import DvcRemote
from pipelines.errors import VersioningError
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
    """Return what is in the trash, by entry and name."""
    found = []
    for path, about in list_files(stored, _root(stored)).items():
        folder, md5 = posixpath.split(path.replace("\\", "/"))
        if (entry := posixpath.basename(folder)).isdigit():
            found.append(TrashedFile(int(entry), md5, int(about.get("size") or 0)))
    return sorted(found, key=lambda one: (one.seq, one.md5))


def read_listing(stored: DvcRemote, trashed: TrashedFile) -> frozenset[str]:
    """Return the files of a folder whose listing is in the trash: what names the folder again names them, too."""

    def read(path: str) -> frozenset[str]:
        with stored.remote.fs.open(path, "rb") as file:
            return frozenset(str(entry["md5"]) for entry in json.load(file))

    found: frozenset[str] = _asked(stored, read, _place(stored, trashed.seq, trashed.md5))
    return found


def trash_files(stored: DvcRemote, seq: int, md5s: Iterable[str]) -> None:
    """Move files of the remote into the trash of an entry; a file that is not there any more is passed over."""
    for md5 in md5s:
        _move(stored, stored.remote.oid_to_path(md5), _place(stored, seq, md5))


def restore_files(stored: DvcRemote, trashed: Iterable[TrashedFile]) -> None:
    """Move files back; one that was pushed again meanwhile stays as it is, and its copy in the trash goes."""
    for one in trashed:
        place, target = _place(stored, one.seq, one.md5), stored.remote.oid_to_path(one.md5)
        if _asked(stored, stored.remote.fs.exists, target):
            _asked(stored, stored.remote.fs.remove, place)
        else:
            _move(stored, place, target)


def delete_trashed(stored: DvcRemote, trashed: Iterable[TrashedFile]) -> None:
    """Delete files of the trash for good."""
    for one in trashed:
        place = _place(stored, one.seq, one.md5)
        if _asked(stored, stored.remote.fs.exists, place):
            with durable_write("delete from trash"):
                _asked(stored, stored.remote.fs.remove, place)


def _move(stored: DvcRemote, source: str, target: str) -> None:
    fs = stored.remote.fs
    if not _asked(stored, fs.exists, source):
        return
    _asked(stored, lambda path: fs.makedirs(path, exist_ok=True), posixpath.dirname(target))
    with durable_write("move to trash or back"):
        _asked(stored, lambda path: fs.move(path, target), source)


def _asked(stored: DvcRemote, call: Any, path: str) -> Any:
    try:
        return call(path)
    except Exception as error:
        # each kind of storage has its own error classes
        raise VersioningError(
            f"the DVC remote {stored.address} does not do what was asked at {path}: {error}; run elp gc again"
        ) from error


def _root(stored: DvcRemote) -> str:
    base = str(stored.remote.path).removesuffix("/files/md5")
    return posixpath.join(base, FOLDER)


def _place(stored: DvcRemote, seq: int, md5: str) -> str:
    return posixpath.join(_root(stored), str(seq), md5)
