"""Files of the DVC remote by their hash: listings, columns of shards, digests, without a checkout or a download."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipelines.datasets.dvc import opened
from pipelines.errors import VersioningError

_BLOCK = 2**20


@dataclass(frozen=True)
class Digests:
    """Two hashes of one file, in hex."""

    md5: str
    sha256: str


@dataclass(frozen=True)
class Objects:
    """The remote of a workspace and the cache beside it; made by `objects`."""

    remote: Any
    cache: Any
    """DVC's cache on this machine, or None to read the remote only."""

    def listing(self, folder: str) -> dict[str, str]:
        """MD5 by name of the files of a tracked folder.

        Args:
            folder: the folder's DVC hash, ``md5:<hex>.dir``.

        Raises:
            VersioningError: where the listing is gone, or is not what its hash says.
        """
        name = folder.removeprefix("md5:")
        with self.open(name) as file:
            content = file.read()
        got = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if got != name.removesuffix(".dir"):
            raise VersioningError(f"the listing {name} of the DVC remote has the MD5 {got}: somebody changed it")
        return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}

    @contextlib.contextmanager
    def open(self, md5: str) -> Iterator[IO[bytes]]:
        """A file by its hash, for reading; only what is read is fetched.

        Raises:
            VersioningError: where the file is in neither place, or the remote does not answer.
        """
        for store in (self.cache, self.remote):
            if store is None:
                continue
            try:
                file = store.fs.open(store.oid_to_path(md5), "rb")
            except FileNotFoundError:
                continue
            except Exception as error:
                # each kind of storage raises its own
                raise VersioningError(f"the DVC remote does not give {md5}: {error}") from error
            with file:
                yield file
            return
        raise VersioningError(f"the DVC remote holds no file {md5}; push it from where it is left: dvc push --all-tags")

    def copy(self, md5: str, target: Path) -> Digests:
        """Bring a file to `target`; both hashes of the bytes that came.

        Raises:
            VersioningError: as for `open`.
        """
        sums = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with self.open(md5) as file, target.open("wb") as out:
            while block := file.read(_BLOCK):
                out.write(block)
                for one in sums:
                    one.update(block)
        return Digests(sums[0].hexdigest(), sums[1].hexdigest())

    def held(self, md5: str) -> bool:
        """Whether the remote has the file."""
        return bool(self.remote.exists(md5))

    def place(self, md5: str) -> str:
        """Where the remote keeps a file: a path, or an address."""
        return str(self.remote.fs.unstrip_protocol(self.remote.oid_to_path(md5))).removeprefix("local://")


@contextlib.contextmanager
def objects(root: Path, *, remote_only: bool = False) -> Iterator[Objects]:
    """The stored files of the workspace `root`, while the block lasts.

    Args:
        root: top of the workspace.
        remote_only: leave DVC's cache on this machine out, to see what the remote itself holds.

    Raises:
        VersioningError: where `root` has no DVC remote.
    """
    with opened(root, "look into the remote") as repository:
        yield Objects(repository.cloud.get_remote_odb(), None if remote_only else repository.cache.local)
