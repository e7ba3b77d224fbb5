"""The artifact store that this MLflow server serves: the bytes at a location, and the frozen folders.

A version consists of its frozen folders: nothing is written or deleted in them.
"""

import contextlib
import os
import posixpath
import tempfile
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, insert, or_, select
from sqlalchemy.orm import Session

from elp_core.bundle import bundle_digest
from elp_core.errors import BundleError
from pipelines.registry.pyfunc.served_files import BUNDLE, fault_of
from pipelines.registry.signing.canonical_json import sha256
from pipelines.server.ledger import FROZEN
from pipelines.server.mlflow_private import served_artifacts, tracking_store

_PROXIED = "mlflow-artifacts"


def run_location(run_id: str) -> str:
    """Return the location of a run's artifacts."""
    return str(tracking_store().get_run(run_id).info.artifact_uri)


def served_path(location: str) -> str | None:
    """Return the path inside the served artifact store that a location names, or None if it is elsewhere."""
    parsed = urllib.parse.urlsplit(location)
    if parsed.scheme != _PROXIED or parsed.netloc:
        return None
    path = posixpath.normpath(urllib.parse.unquote(parsed.path)).lstrip("/")
    # quoted dots are dots too: the path is checked after it is unquoted
    return None if path in {"", "."} or path.startswith("..") else path


class HashedBundle(NamedTuple):
    """The bytes of a version at one moment."""

    digest: str
    """``sha256:…``; empty if the folder holds no bundle to serve."""
    damage: str = ""
    """Why it holds none, such as a file that no adapter has; empty if it does."""


def hash_bundle(location: str) -> HashedBundle:
    """Hash the bundle in a logged model's folder as its bytes are now."""
    path = served_path(location)
    if path is None:
        return HashedBundle("", f"it is stored at {location or 'no place'}, outside the artifact store of this server")
    try:
        # a folder is hashed in place; an object store is downloaded first
        if (local := served_artifacts().get_local_path(path)) is not None and os.path.isdir(local):
            return _hash(Path(local))
        with tempfile.TemporaryDirectory(prefix="elp-hash-") as scratch:
            return _hash(Path(served_artifacts().download_artifacts(path, scratch)))
    except Exception as error:
        # object stores raise their own errors, and bytes that cannot be read cannot serve
        return HashedBundle("", f"it cannot be read: {error}")


def _hash(model: Path) -> HashedBundle:
    try:
        digest = bundle_digest(model / BUNDLE)
    except BundleError as error:
        return HashedBundle("", str(error))
    fault = fault_of(model)
    return HashedBundle("", fault) if fault else HashedBundle(digest)


def hash_file(location: str) -> str:
    """Return the SHA-256 (hex) of a file in the served artifact store, or an empty text if it is not there."""
    path = served_path(location)
    if path is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="elp-hash-") as scratch:
        try:
            return sha256(Path(served_artifacts().download_artifacts(path, scratch)).read_bytes())
        except Exception:
            # object stores raise their own errors for a missing file
            return ""


@dataclass(frozen=True)
class FrozenFolder:
    """A frozen folder's version, and what the folder is to it."""

    model: str
    version: int
    what: str
    """``adapter`` or ``evidence``."""


def freeze(session: Session, path: str, folder: FrozenFolder) -> None:
    """Freeze a folder by its path in the served artifact store; a folder that is frozen keeps its version."""
    if session.execute(select(FROZEN.c.path).where(FROZEN.c.path == path)).first() is None:
        session.execute(insert(FROZEN).values(path=path, **vars(folder)))


def frozen_by(session: Session, path: str, *, tree: bool = False) -> FrozenFolder | None:
    """Return the frozen folder that a path of the served artifact store (``""`` is the store itself) is in, or None.

    With `tree`, look for frozen folders below the path too, as a deletion must.
    """
    wanted: list[ColumnElement[bool]] = [FROZEN.c.path.in_(["", path, *map(str, PurePosixPath(path).parents)])]
    if tree:
        # escaped, because a path may hold the wildcards of LIKE
        wanted.append(FROZEN.c.path.startswith(path + "/", autoescape=True) if path else FROZEN.c.path != "")
    row = session.execute(select(FROZEN.c.model, FROZEN.c.version, FROZEN.c.what).where(or_(*wanted)).limit(1)).first()
    return None if row is None else FrozenFolder(str(row[0]), int(row[1]), str(row[2]))


def thaw(session: Session, path: str) -> None:
    """Lift the freeze of a folder: its version was deleted by policy, and its time in the trash is over."""
    session.execute(delete(FROZEN).where(FROZEN.c.path == path))


def stored_sizes() -> dict[str, int]:
    """Return the bytes of each folder of the served artifact store that is named ``m-…``: of each logged model."""
    sizes = Counter[str]()
    for path, size in _stored_files(served_artifacts()):
        model = next((part for part in path.split("/") if part.startswith("m-")), "")
        if model:
            sizes[model] += size
    return dict(sizes)


def _stored_files(store: Any) -> Iterator[tuple[str, int]]:
    """Yield path (in the store) and size of every file of the served artifact store."""
    root = store.artifact_dir if hasattr(store, "artifact_dir") else None
    if root is not None:
        waiting = [str(root)]
        while waiting:
            with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.path.removeprefix(str(root)), entry.stat(follow_symlinks=False).st_size
        return
    # one listing of the whole store: MLflow's own lists folder after folder
    yield from store.stored_objects()


def plain_path(*parts: str | None) -> str:
    """Join parts of a path without ``.``, ``..``, empty parts and slashes at the ends."""
    return posixpath.normpath("/" + "/".join(part for part in parts if part)).strip("/")
