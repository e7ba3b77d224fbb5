"""The files of a slot at a version that are on this machine, without opening DVC and without the network.

They are in the workspace, in DVC's cache or in the cache of fetched versions. A file is named by its content, so a file
of the right name in the workspace is the right one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import VersioningError
from pipelines.local.dvc_repository import dvc_settings
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class LocalFiles:
    """The files of one folder of a slot."""

    paths: tuple[Path, ...] = ()
    missing: int = 0
    """Files of the folder that are not on this machine; 1 if their number is unknown."""


def local_files(root: Path, slot: Slot, folder: str, tracked: str, names: Sequence[str] = ()) -> LocalFiles:
    """Return the files of a tracked folder of the slot that are in the workspace `root` or its caches.

    `tracked` is DVC's hash of the folder, ``md5:<hex>.dir``, or empty if there is none. `names` are its files, if a
    record has them: without DVC's listing, they are searched by name.
    """
    cache, bare = _dvc_cache(root), tracked.removeprefix("md5:")
    listing = _listing(root, cache, bare) if bare else {}
    if listing is None and not names:
        return LocalFiles((), 1)
    found, missing = list[Path](), 0
    for name, md5 in sorted((dict.fromkeys(names, "") if listing is None else listing).items()):
        places = [root / slot.folder / folder / name]
        if md5:
            places += [cache / md5[:2] / md5[2:], root / ".elp" / "cache" / "files" / md5[:2] / f"{md5}.parquet"]
        here = next((place for place in places if place.is_file()), None)
        missing += here is None
        found += [here] if here else []
    return LocalFiles(tuple(found), missing)


def listed_names(root: Path, tracked: str) -> frozenset[str]:
    """Return the names of the files of a tracked folder (by its DVC hash), if its listing is in a cache here."""
    return frozenset(_listing(root, _dvc_cache(root), tracked.removeprefix("md5:")) or ())


def _listing(root: Path, cache: Path, tracked: str) -> dict[str, str] | None:
    """Return the MD5 of each file of a folder by its name, from DVC's listing or that of a fetch; None without one."""
    path = cache / tracked[:2] / tracked[2:]
    fetched = root / ".elp" / "cache" / "sets" / f"{tracked}.json"
    try:
        if path.is_file():
            return {Path(entry["relpath"]).name: str(entry["md5"]) for entry in json.loads(path.read_bytes())}
        if fetched.is_file():
            return {Path(name).name: str(md5) for name, md5 in json.loads(fetched.read_bytes())}
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise VersioningError(
            f"the list of files {tracked} in {cache} cannot be read: {error}; run: dvc fetch"
        ) from error
    return None


def _dvc_cache(root: Path) -> Path:
    """Return the folder of DVC's cache with the files by MD5: of the workspace, or the one that its settings name."""
    # a relative folder starts at the file that names it
    folder = root / ".dvc" / dvc_settings(root).get("cache", {}).get("dir", "cache")
    return folder / "files" / "md5"
