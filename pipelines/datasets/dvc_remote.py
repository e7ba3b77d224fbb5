"""Files of the DVC remote by their hash: list, read, copy and find them without a checkout."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipelines.errors import VersioningError
from pipelines.local.dvc_repository import dvc_repository

_BLOCK = 2**20


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
        """Return the MD5 of each file of a tracked folder, by name.

        Args:
            folder: The folder's DVC hash, ``md5:<hex>.dir``.

        Raises:
            VersioningError: The listing is missing, or does not have its hash.
        """
        name = folder.removeprefix("md5:")
        with self.open(name) as file:
            content = file.read()
        got = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if got != name.removesuffix(".dir"):
            raise VersioningError(
                f"the listing {name} of the DVC remote was changed: its MD5 is {got}; restore it from a backup"
            )
        return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}

    @contextlib.contextmanager
    def open(self, md5: str) -> Iterator[IO[bytes]]:
        """Open a file by its hash; only the parts that are read are fetched.

        Raises:
            VersioningError: The file is in neither place, or the remote does not answer.
        """
        for store in (self.cache, self.remote):
            if store is None:
                continue
            try:
                file = store.fs.open(store.oid_to_path(md5), "rb")
            except FileNotFoundError:
                continue
            except Exception as error:
                # each kind of storage has its own error classes
                raise VersioningError(f"the DVC remote cannot read {md5}: {error}") from error
            with file:
                yield file
            return
        raise VersioningError(
            f"the DVC remote holds no file {md5}; push it from a machine that has it: dvc push --all-tags"
        )

    def copy(self, md5: str, target: Path) -> FileDigests:
        """Copy a file to `target`, and return both hashes of its bytes.

        Raises:
            VersioningError: As for `open`.
        """
        sums = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with self.open(md5) as file, target.open("wb") as out:
            while block := file.read(_BLOCK):
                out.write(block)
                for one in sums:
                    one.update(block)
        return FileDigests(sums[0].hexdigest(), sums[1].hexdigest())

    def held(self, md5: str) -> bool:
        """Return whether the remote has the file."""
        return bool(self.remote.exists(md5))

    def place(self, md5: str) -> str:
        """Return where the remote keeps a file: a path, or an address."""
        return str(self.remote.fs.unstrip_protocol(self.remote.oid_to_path(md5))).removeprefix("local://")


@contextlib.contextmanager
def dvc_remote(root: Path, *, remote_only: bool = False) -> Iterator[DvcRemote]:
    """Open the DVC remote of the workspace `root` while the block runs.

    Args:
        root: Top of the workspace.
        remote_only: Do not read DVC's cache on this machine, to see what the remote itself holds.

    Raises:
        VersioningError: `root` has no DVC remote.
    """
    with dvc_repository(root, "look into the remote") as repository:
        yield DvcRemote(repository.cloud.get_remote_odb(), None if remote_only else repository.cache.local)
