"""The files of tracked folders on this machine, by their content: fetched once at any revision, without a checkout."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from elp_core.files import replacing, write_whole
from pipelines.datasets.dvc import DvcRemote, metafile, new_md5, tracked_hash
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.dvc_repository import dvc_errors
from pipelines.local.secret_values import give_data_secrets


def fetch_folder(repository: str, revision: str, path: Path, cache: Path) -> list[Path]:
    """Fetch the files of a tracked folder at a tag or commit, without a checkout; return paths in the cache, by name.

    The repository is a folder or a Git URL. Files in the cache are named by their content and not fetched again. Raise
    VersioningError if the folder is not tracked at that revision, or a file of the remote is missing or changed.
    """
    digest = tracked_hash(git.show(git.local_copy(repository, cache), revision, metafile(path)))
    if not digest:
        raise VersioningError(
            f"{path} is not tracked at {revision} in {repository}; list the versions with: elp data log"
        )
    listing = cache / "sets" / f"{digest.removeprefix('md5:')}.json"
    # the listing of a hash never changes, and opening a DVC repository takes 0.1 s
    if listing.is_file():
        held = [_place(cache, md5) for _, md5 in json.loads(listing.read_text(encoding="utf-8"))]
        if all(place.is_file() for place in held):
            return held
    with _remote_of(repository, cache) as stored:
        entries = sorted(stored.listing(digest).items())
        places = [_fetch_file(stored, name, md5, cache) for name, md5 in entries]
    write_whole(listing, json.dumps(entries))
    return places


def _fetch_file(stored: DvcRemote, name: str, md5: str, cache: Path) -> Path:
    place = _place(cache, md5)
    if place.is_file():
        return place
    with replacing(place) as temporary:
        stored.download(md5, temporary)
        with temporary.open("rb") as file:
            got = hashlib.file_digest(file, new_md5).hexdigest()
        if got != md5:
            raise VersioningError(
                f"{name} was fetched with the MD5 {got}, expected {md5}; the remote's file was changed"
            )
    return place


def _place(cache: Path, md5: str) -> Path:
    return cache / "files" / md5[:2] / f"{md5}.parquet"


@contextlib.contextmanager
def _remote_of(repository: str, cache: Path) -> Iterator[DvcRemote]:
    """Open the DVC remote that a repository names now, without a checkout and without an index of its files.

    The repository is a folder, whose own DVC cache is read too, or a Git URL, whose default branch is read. A version
    that was made before the remote was moved is at the new one, too.
    """
    if (folder := Path(repository.removeprefix("file://"))).is_dir():
        give_data_secrets(folder)
    databases = (cache / "dvc").resolve()
    with dvc_errors("fetch", Path(repository), databases):
        from dvc.config import NoRemoteError
        from dvc.repo import Repo

        config = {"core": {"site_cache_dir": str(databases)}}
        # without the revision: DVC would mix the settings of that commit with those of now
        with Repo.open(repository.removeprefix("file://"), config=config) as opened:
            remote = None
            # DVC's cache may have it all
            with contextlib.suppress(NoRemoteError):
                remote = opened.cloud.get_remote_odb(command="fetch")
            try:
                yield DvcRemote(remote, opened.cache.local)
            except VersioningError as error:
                raise VersioningError(f"DVC could not fetch in {repository}: {error}") from error
