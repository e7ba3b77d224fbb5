"""Write files so that a reader sees the old content or the new content, never a part of it."""

import contextlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from elp_core.fail_points import durable_write

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False, make_folder: bool = True) -> Iterator[Path]:
    """Give a temporary path next to `path`; put what was written there in the place of `path` at the end.

    If the block raises, the temporary file is removed and `path` is unchanged. The folder is made if it is missing;
    without `make_folder`, for one that another process may move, that is a FileNotFoundError. With `durable`, wait
    until the disk has the content, for records that must outlive a power failure.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder: a rename over a file system's border is a copy, and a copy can be interrupted
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        if durable:
            # a file system may keep the new name and lose content that was not written before the rename
            sync_path(temporary)
        with durable_write(f"file {_kind(path.name)}"):
            os.replace(temporary, path)
        if durable:
            # the name is part of the folder, which has to reach the disk too
            sync_path(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder next to `path`; put it in the place of `path` at the end.

    If the block raises, the temporary folder is removed and `path` is unchanged. A process that is killed between the
    two renames leaves no folder, never a mixture of both or a part of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        yield folder
        with contextlib.suppress(FileNotFoundError):
            # it is removed with the temporary folder
            os.replace(path, Path(scratch) / "old")
        with durable_write(f"folder {_kind(path.name)}"):
            os.replace(folder, path)


def write_whole(
    path: Path, content: str | bytes, *, mode: int | None = None, durable: bool = False, make_folder: bool = True
) -> None:
    """Write text (as UTF-8) or bytes by `replacing`; a `mode` such as ``0o600`` holds from the first byte on."""
    with replacing(path, durable=durable, make_folder=make_folder) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


def remove_temporary(folder: Path) -> list[Path]:
    """Remove what processes that were killed in `replacing` left in a folder; return the paths.

    Only for a folder in which no other process writes at the moment.
    """
    found = [path for path in folder.glob(".*.tmp") if _TEMPORARY.fullmatch(path.name)]
    for path in found:
        path.unlink(missing_ok=True)
    return found


def _kind(name: str) -> str:
    """Return the name of a file with a star for what is a digest in it."""
    return re.sub(r"[0-9a-f]{12,}", "*", name)


def sync_path(path: Path) -> None:
    """Write what the system still holds of a file, or of the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
