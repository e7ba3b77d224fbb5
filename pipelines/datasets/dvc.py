"""DVC: track, push and pull folders; read and write the files of the remote by their hash."""

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elp_core.fail_points import durable_write
from pipelines.errors import DataRemoteAway, VersioningError
from pipelines.local.dvc_repository import dvc_repository
from pipelines.outages import is_away, read_faults


def track(root: Path, folders: Sequence[Path]) -> dict[Path, str]:
    """Track folders (relative to `root`) as they are now, and return the hash of each (``md5:….dir``).

    Raise VersioningError if DVC tracks a folder around one of them as a whole.
    """
    for outer in {parent for folder in folders for parent in folder.parents[:-1]}:
        if (root / metafile(outer)).exists():
            # DVC would add the files to that folder
            raise VersioningError(
                f"DVC tracks {outer} in {root} as a whole, so that no version can be made of the folders in it; "
                f"run: dvc remove {metafile(outer)}"
            )
    with dvc_repository(root, "add") as repository, _near_stages(repository, root, folders), durable_write("dvc add"):
        repository.add([str(root / folder) for folder in folders])
    return {folder: tracked_hash((root / metafile(folder)).read_text(encoding="utf-8")) for folder in folders}


@contextlib.contextmanager
def _near_stages(repository: Any, root: Path, folders: Sequence[Path]) -> Iterator[None]:
    """Hold DVC's lock with an index of those `.dvc` files that can overlap with `folders`: next to them or above.

    DVC's own index has every file of the workspace, which takes seconds with some hundred slots.
    """
    from dvc.dvcfile import is_valid_filename
    from dvc.repo import lock_repo
    from dvc.repo.index import Index

    above = {parent for folder in folders for parent in (root / folder).parents if parent.is_relative_to(root)}
    found = (path for parent in above for path in parent.iterdir() if is_valid_filename(path.name))
    files = sorted(str(path) for path in found if path.is_file())
    with lock_repo(repository):
        repository.index = Index.from_indexes(repository, [Index.from_file(repository, file) for file in files])
        yield


def push(root: Path, folders: Sequence[Path]) -> None:
    """Copy the folders' files to the remote; files that the remote has are not sent again."""
    with dvc_repository(root, "push") as repository, durable_write("dvc push"):
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

    return f"md5:{yaml.safe_load(text)['outs'][0]['md5']}" if text else ""


def tracked_bytes(text: str | None) -> int | None:
    """Return the size of the tracked files that the text of a `.dvc` file names; None if it names none."""
    import yaml

    size = yaml.safe_load(text)["outs"][0].get("size") if text else None
    return None if size is None else int(size)


def _kind(error: Exception) -> type[VersioningError]:
    # each kind of storage has its own error classes
    return DataRemoteAway if is_away(error) else VersioningError


def _lost(md5: str) -> VersioningError:
    return VersioningError(
        f"the DVC remote holds no file {md5}; if elp gc moved it to the trash, bring it back: elp gc undo, and keep it "
        "with: elp hold data/SITE/TASK/vN --until DATE --reason TEXT; else push it from a machine that has it: "
        "dvc push --all-tags"
    )


def new_md5(content: bytes = b"") -> "hashlib._Hash":
    """Return the MD5 of bytes; more can be added to it."""
    # without the flag, a system in FIPS mode refuses MD5, which is DVC's choice
    return hashlib.md5(content, usedforsecurity=False)


def listed_files(name: str, file: IO[bytes]) -> dict[str, str]:
    """Return the MD5 of each file in a listing (``<hex>.dir``), by its name in the folder.

    Raise VersioningError if the listing cannot be read or was changed; DataRemoteAway during an outage.
    """
    with read_faults(f"the listing {name} of the DVC remote"):
        content = file.read()
    got = new_md5(content).hexdigest()
    if got != name.removesuffix(".dir"):
        raise VersioningError(
            f"the listing {name} of the DVC remote was changed: its MD5 is {got}; restore it from a backup"
        )
    return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}


@dataclass(frozen=True)
class FileDigests:
    """Two hashes of one file, in hex."""

    md5: str
    sha256: str


@dataclass(frozen=True)
class DvcRemote:
    """The DVC remote of a workspace, and DVC's cache on this machine; `dvc_remote` opens it."""

    remote: Any
    cache: Any
    """None reads the remote only."""

    def listing(self, folder: str) -> dict[str, str]:
        """Return the MD5 of each file of a tracked folder (given by its DVC hash, ``md5:<hex>.dir``), by name."""
        name = folder.removeprefix("md5:")
        with self.open(name) as file:
            return listed_files(name, file)

    @contextlib.contextmanager
    def open(self, md5: str) -> Iterator[IO[bytes]]:
        """Open a file by its hash; only the parts that are read are fetched. Raise VersioningError if there is none."""
        for store in filter(None, (self.cache, self.remote)):
            try:
                file = store.fs.open(store.oid_to_path(md5), "rb")
            except FileNotFoundError:
                continue
            except Exception as error:
                raise _kind(error)(f"the DVC remote cannot read {md5}: {error}") from error
            with file:
                yield file
            return
        raise _lost(md5)

    def download(self, md5: str, target: Path) -> None:
        """Write a file to `target` as one request, unchecked. Raise VersioningError if there is none."""
        for store in (self.cache, self.remote):
            if store is not None:
                with contextlib.suppress(FileNotFoundError):
                    store.fs.get_file(store.oid_to_path(md5), str(target))
                    return
        raise _lost(md5)

    def copy(self, md5: str, target: Path) -> FileDigests:
        """Copy a file to `target` as `open` reads it, and return both hashes of its bytes."""
        sums = new_md5(), hashlib.sha256()
        with self.open(md5) as file, target.open("wb") as out:
            while block := file.read(2**20):
                out.write(block)
                for one in sums:
                    one.update(block)
        return FileDigests(sums[0].hexdigest(), sums[1].hexdigest())

    def holds(self, md5: str) -> bool:
        """Return whether the cache or the remote has a file."""
        return bool(self.cache and self.cache.exists(md5)) or md5 not in self.missing({md5})

    def require_there(self) -> None:
        """Raise DataRemoteAway if the remote is a folder that is missing, such as a share that is not mounted."""
        if self.remote.fs.protocol == "local" and not Path(self.remote.path).is_dir():
            raise DataRemoteAway(f"the DVC remote {self.address} is not there; if it is a share, mount it")

    def missing(self, md5s: Collection[str]) -> set[str]:
        """Return which files the remote lacks; nothing is changed. In a folder, a file of another size counts as such.

        Raise VersioningError if the remote does not answer.
        """
        if self.remote.fs.protocol == "local":
            # not DVC's own check, which reads every file and deletes those that were changed
            return {md5 for md5 in md5s if not self._whole(md5)}
        try:
            return set(md5s) - set(self.remote.oids_exist(list(md5s)))
        except Exception as error:
            raise _kind(error)(f"the DVC remote {self.address} does not answer: {error}") from error

    def _whole(self, md5: str) -> bool:
        """Whether a remote that is a folder has the file, as large as in the cache."""
        path, cached = Path(self.remote.oid_to_path(md5)), self.cached(md5)
        try:
            size = path.stat().st_size
        except OSError:
            return False
        return size == cached.stat().st_size if cached else size > 0

    def cached(self, md5: str) -> Path | None:
        """Return the path of a file in DVC's cache on this machine, if it is there."""
        path = Path(self.cache.oid_to_path(md5)) if self.cache else None
        return path if path and path.is_file() else None

    def upload(self, md5: str, source: Path) -> None:
        """Copy a file of this machine to the remote under its hash, in place of what is there."""
        from dvc.fs import localfs

        try:
            self.remote.add(str(source), localfs, md5, check_exists=False)
        except Exception as error:
            raise _kind(error)(f"the DVC remote {self.address} does not take {md5}: {error}") from error

    @property
    def address(self) -> str:
        """Return the folder or the address of the remote."""
        return (
            str(self.remote.fs.unstrip_protocol(self.remote.path)).removeprefix("local://").removesuffix("/files/md5")
        )

    def place(self, md5: str) -> str:
        """Return where the remote keeps a file: a path, or an address."""
        return str(self.remote.fs.unstrip_protocol(self.remote.oid_to_path(md5))).removeprefix("local://")


@contextlib.contextmanager
def dvc_remote(root: Path, *, remote_only: bool = False) -> Iterator[DvcRemote]:
    """Open the DVC remote of the workspace `root` while the block runs; raise VersioningError if it has none.

    With `remote_only`, DVC's cache on this machine is not read, to see what the remote itself holds.
    """
    with dvc_repository(root, "look into the remote", read_only=True) as repository:
        yield DvcRemote(repository.cloud.get_remote_odb(), None if remote_only else repository.cache.local)
