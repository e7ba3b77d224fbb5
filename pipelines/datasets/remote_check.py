"""Whether the DVC remote holds every file of a slot's newest version and golden set, and pushing them again if not.

DVC does not see such a loss: once a folder was pushed, it assumes that the remote keeps the folder's files for ever.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS
from pipelines.datasets.dvc import DvcRemote, dvc_remote, metafile, tracked_hash
from pipelines.errors import VersioningError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

_FOLDERS = (SHARDS, QUARANTINE, GOLDEN)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredName:
    """A file that the remote should hold."""

    md5: str
    """DVC's hash; ends with ``.dir`` for the listing of a folder."""
    path: Path
    """Path in the workspace; of a listing, that of the folder."""


def stored_names(workspace: Workspace, slot: Slot, remote: DvcRemote) -> list[StoredName]:
    """Return the files of the slot's newest version and golden set, the listing of a folder after its files."""
    found = []
    for kind in _FOLDERS:
        folder = slot.folder / kind
        path = workspace.root / metafile(folder)
        digest = tracked_hash(path.read_text(encoding="utf-8") if path.is_file() else None)
        if not digest:
            continue
        whole = StoredName(digest.removeprefix("md5:"), folder)
        if remote.holds(whole.md5):
            found += [StoredName(md5, folder / name) for name, md5 in sorted(remote.listing(digest).items())]
        found.append(whole)
    return found


def lost_files(workspace: Workspace, slots: Sequence[Slot]) -> dict[Slot, list[StoredName]]:
    """Return the files of each slot's newest version and golden set that the remote lacks; nothing is changed.

    Raise VersioningError if the remote cannot be asked.
    """
    if not slots:
        return {}
    with dvc_remote(workspace.root) as remote:
        found = {slot: _lost(remote, stored_names(workspace, slot, remote)) for slot in slots}
    return {slot: names for slot, names in found.items() if names}


def _lost(remote: DvcRemote, names: Sequence[StoredName]) -> list[StoredName]:
    missing = remote.missing({name.md5 for name in names})
    return [name for name in names if name.md5 in missing]


def push_lost_files(workspace: Workspace, slot: Slot) -> int:
    """Push the files of the slot's newest version and golden set that the remote lost again; return their number.

    DVC's cache and the slot's folders have them. Raise VersioningError if one is nowhere; nothing was changed then.
    """
    with dvc_remote(workspace.root) as remote:
        lost = _lost(remote, stored_names(workspace, slot, remote))
        if not lost:
            return 0
        sources = {name: _source(workspace, remote, name) for name in lost}
        if nowhere := [name for name, source in sources.items() if source is None]:
            raise VersioningError(
                f"the DVC remote {remote.address} lost {count(len(nowhere), 'file')} of the newest version of {slot}, "
                f"and this machine has no intact copy (the first is {nowhere[0].path}); restore the remote from a "
                "backup, or push from a machine that has them with: dvc push --all-tags"
            )
        # a listing comes after its files: DVC takes a folder for complete when the remote has its listing
        for name, source in sources.items():
            assert source is not None
            remote.upload(name.md5, source)
    _log.warning("the DVC remote %s had lost %d files of %s; they were pushed again", remote.address, len(lost), slot)
    return len(lost)


def _source(workspace: Workspace, remote: DvcRemote, name: StoredName) -> Path | None:
    """Return an intact copy of a file on this machine, or None."""
    for path in (remote.cached(name.md5), workspace.root / name.path):
        if path is not None and path.is_file():
            with path.open("rb") as file:
                if hashlib.file_digest(file, _md5).hexdigest() == name.md5.removesuffix(".dir"):
                    return path
    return None


def _md5() -> "hashlib._Hash":
    # without the flag, a system in FIPS mode refuses MD5, which is DVC's choice
    return hashlib.md5(usedforsecurity=False)
