"""DVC's tracked folders: track, push and pull them in a workspace, fetch one of any revision without a checkout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elp_core.files import replacing, write_whole
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.dvc_repository import dvc_errors, dvc_repository


def track(root: Path, folders: Sequence[Path]) -> dict[Path, str]:
    """Track folders (relative to `root`) as they are now, and return the hash of each (``md5:….dir``)."""
    if not folders:
        return {}
    with dvc_repository(root, "add") as repository:
        repository.add([str(root / folder) for folder in folders])
    return {folder: tracked_hash((root / metafile(folder)).read_text(encoding="utf-8")) for folder in folders}


def push(root: Path, folders: Sequence[Path]) -> None:
    """Copy the folders' files to the remote; files that the remote has are not sent again."""
    if not folders:
        return
    with dvc_repository(root, "push") as repository:
        repository.push(targets=[str(root / metafile(folder)) for folder in folders])


def pull(root: Path, folder: Path) -> None:
    """Restore the files of a tracked folder in the workspace."""
    with dvc_repository(root, "pull") as repository:
        repository.pull(targets=[str(root / metafile(folder))])


def metafile(folder: Path) -> Path:
    """Return the path of the `.dvc` file of a tracked folder, which is next to it."""
    return folder.with_name(folder.name + ".dvc")


def tracked_hash(text: str | None) -> str:
    """Return the hash in the text of a `.dvc` file, as ``md5:<hex>.dir``; empty for None."""
    import yaml

    if not text:
        return ""
    out = yaml.safe_load(text)["outs"][0]
    return f"md5:{out['md5']}"


def fetch_folder(repository: str, revision: str, path: Path, cache: Path) -> list[Path]:
    """Fetch the files of a tracked folder at a revision, without a checkout.

    Args:
        repository: A folder on this machine, or a Git URL.
        revision: A tag or commit.
        path: Path of the folder in the repository.
        cache: The folder for fetched files, by the hash of their content; a file in it is not fetched again.

    Returns:
        Paths in the cache, in the order of the files' names.

    Raises:
        VersioningError: The folder is not tracked at that revision, or a file of the remote is missing or changed.
    """
    digest = tracked_hash(git.show(git.local_copy(repository, cache), revision, metafile(path)))
    if not digest:
        raise VersioningError(
            f"{path} is not tracked at {revision} in {repository}; list the versions with: elp data log"
        )
    listing = cache / "sets" / f"{digest.removeprefix('md5:')}.json"
    # the listing of a hash never changes, and opening a DVC file system takes 0.3 s
    if listing.is_file():
        held = [_place(cache, md5) for _, md5 in json.loads(listing.read_text(encoding="utf-8"))]
        if all(place.is_file() for place in held):
            return held
    with dvc_errors("fetch", Path(repository)):
        from dvc.api import DVCFileSystem

        config = {"core": {"site_cache_dir": str((cache / "dvc").resolve())}}
        system = DVCFileSystem(repository.removeprefix("file://"), rev=revision, config=config)
        try:
            found = system.find(path.as_posix(), detail=True)
            entries = sorted((name, str(info["md5"])) for name, info in found.items())
            places = [_fetch_file(system, name, md5, cache) for name, md5 in entries]
        finally:
            system.repo.close()
    write_whole(listing, json.dumps(entries))
    return places


def _fetch_file(system: Any, name: str, md5: str, cache: Path) -> Path:
    place = _place(cache, md5)
    if place.is_file():
        return place
    with replacing(place) as temporary:
        system.get_file(name, str(temporary))
        with temporary.open("rb") as file:
            got = hashlib.file_digest(file, "md5").hexdigest()
        if got != md5:
            raise VersioningError(
                f"{name} was fetched with the MD5 {got}, expected {md5}; the remote's file was changed"
            )
    return place


def _place(cache: Path, md5: str) -> Path:
    return cache / "files" / md5[:2] / f"{md5}.parquet"
