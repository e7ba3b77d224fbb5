"""The folder of a Ray cluster that a run starts for itself: it is removed with the run, or by a later one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from elp_core.types import Seconds

_PREFIX = "elp-ray-"
_NEW: Seconds = 60.0
"""A younger folder may not be locked yet."""


@contextlib.contextmanager
def ray_folder(parent: Path = Path("/tmp")) -> Iterator[Path]:
    """Give a folder for the files of a Ray cluster, and remove those that killed runs of this user have left.

    Paths of Ray's sockets have at most 107 characters, whatever TMPDIR is.
    """
    for old in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if old.lstat().st_uid == os.getuid() and time.time() - old.lstat().st_mtime > _NEW:
                with _locked(old):
                    shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which the system releases when the process ends; OSError if another one has it."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
