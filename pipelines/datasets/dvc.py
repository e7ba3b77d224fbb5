"""DVC, through its Python interface: initialise, add and push folders, fetch a folder of any revision.

Its caches and locks stay inside the workspace. It is imported only when used (it takes half a second).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from elp_core.errors import ElpError
from pipelines.errors import VersioningError
from pipelines.local import git

REMOTE = "storage"
"""Name of the DVC remote in `.dvc/config`."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def initialise(root: Path, remote: str) -> None:
    """Make the Git repository `root` a DVC repository whose default remote is `remote`.

    Args:
        root: top of a Git repository.
        remote: a folder relative to `root`, an absolute one, or any URL that DVC understands.
    """
    url = remote if "://" in remote or os.path.isabs(remote) else os.path.join("..", remote)
    with _quiet("initialise", root):
        from dvc.repo import Repo

        Repo.init(str(root), no_scm=False, force=False).close()
    # hard links: a shard is immutable, so that it may be one file in the workspace and in the cache
    (root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n"
        f'    remote = {REMOTE}\n[cache]\n    type = "reflink,hardlink,copy"\n'
        f"['remote \"{REMOTE}\"']\n    url = {url}\n",
        encoding="utf-8",
    )


def add(root: Path, folders: Sequence[Path]) -> dict[Path, str]:
    """Track folders (relative to `root`) as they are now; returns each one's hash (``md5:….dir``)."""
    if not folders:
        return {}
    with opened(root, "add") as repository:
        repository.add([str(root / folder) for folder in folders])
    return {folder: tracked_hash((root / metafile(folder)).read_text(encoding="utf-8")) for folder in folders}


def push(root: Path, folders: Sequence[Path]) -> None:
    """Copy the folders' files to the remote; what is there already is not sent again."""
    if not folders:
        return
    with opened(root, "push") as repository:
        repository.push(targets=[str(root / metafile(folder)) for folder in folders])


def pull(root: Path, folder: Path) -> None:
    """Bring the files of a tracked folder back into the workspace."""
    with opened(root, "pull") as repository:
        repository.pull(targets=[str(root / metafile(folder))])


def metafile(folder: Path) -> Path:
    """The `.dvc` file beside a tracked folder."""
    return folder.with_name(folder.name + ".dvc")


def tracked_hash(text: str | None) -> str:
    """Hash in the text of a `.dvc` file, as ``md5:<hex>.dir``; empty where there is no such file."""
    import yaml

    if not text:
        return ""
    out = yaml.safe_load(text)["outs"][0]
    return f"md5:{out['md5']}"


def dataset_hash(repository: str, revision: str, path: Path, cache: Path) -> str:
    """Hash of the folder `path` at a revision, or empty where it is not tracked there."""
    return tracked_hash(git.show(git.local_copy(repository, cache), revision, metafile(path)))


def fetch(repository: str, revision: str, path: Path, cache: Path) -> list[Path]:
    """Files of a tracked folder at a revision, without a checkout.

    Args:
        repository: a folder on this machine or a Git URL.
        revision: a tag or commit.
        path: of the folder, relative to the repository's top.
        cache: files are kept here by the hash of their content; what is here is not fetched again.

    Returns:
        Paths in the cache, in the order of the files' names.

    Raises:
        VersioningError: where the folder is not tracked there, or the remote lacks or altered a file.
    """
    digest = dataset_hash(repository, revision, path, cache)
    if not digest:
        raise VersioningError(f"{path} is not tracked at {revision} in {repository}; look with: elp data log")
    listing = cache / "sets" / f"{digest.removeprefix('md5:')}.json"
    if listing.is_file():
        held = [_place(cache, md5) for _, md5 in json.loads(listing.read_text(encoding="utf-8"))]
        if all(place.is_file() for place in held):
            return held
    with _quiet("fetch", Path(repository)):
        from dvc.api import DVCFileSystem

        config = {"core": {"site_cache_dir": str((cache / "dvc").resolve())}}
        system = DVCFileSystem(repository.removeprefix("file://"), rev=revision, config=config)
        try:
            found = system.find(path.as_posix(), detail=True)
            entries = sorted((name, str(info["md5"])) for name, info in found.items())
            places = [_fetch_file(system, name, md5, cache) for name, md5 in entries]
        finally:
            system.repo.close()
    write_atomic(listing, json.dumps(entries))
    return places


def write_atomic(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _fetch_file(system: Any, name: str, md5: str, cache: Path) -> Path:
    place = _place(cache, md5)
    if place.is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        temporary = Path(folder) / "file"
        system.get_file(name, str(temporary))
        with temporary.open("rb") as file:
            got = hashlib.file_digest(file, "md5").hexdigest()
        if got != md5:
            raise VersioningError(
                f"{name} came with the MD5 {got}, its version says {md5}; the remote holds another file"
            )
        os.replace(temporary, place)
    return place


def _place(cache: Path, md5: str) -> Path:
    return cache / "files" / md5[:2] / f"{md5}.parquet"


@contextlib.contextmanager
def opened(root: Path, doing: str) -> Iterator[Any]:
    """The DVC repository at `root`, while the block lasts; `doing` says in an error what was tried."""
    with _quiet(doing, root):
        from dvc.repo import Repo

        # the default is a folder that all users of the machine share
        with Repo(str(root), config={"core": {"site_cache_dir": str(root / ".elp" / "dvc")}}) as repository:
            yield repository


@contextlib.contextmanager
def _quiet(doing: str, where: Path) -> Iterator[None]:
    """DVC's errors as ours (a full disk stays an OSError), and without its advice on what to type next."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import dvc.repo  # noqa: F401

        # importing it sets the level that its command line wants
        logging.getLogger("dvc").setLevel(logging.ERROR)
        try:
            yield
        except ElpError:
            raise
        except Exception as error:
            for cause in _causes(error):
                if isinstance(cause, OSError) and cause.errno in FULL:
                    raise cause from None
            raise VersioningError(f"DVC could not {doing} in {where}: {str(error) or type(error).__name__}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__
