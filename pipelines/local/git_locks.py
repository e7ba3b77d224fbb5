"""Lock files that a killed Git process left in ``.git``: cleared if no live process can hold them, and only then."""

import contextlib
import logging
import time
from pathlib import Path

import psutil

from elp_core.types import Seconds
from pipelines.local.processes import every_process

SETTLED: Seconds = 5.0
"""A program that is not named git may hold a lock, for milliseconds: one that does not change for this long is left."""
_PATTERNS = ("*.lock", "refs/**/*.lock", "objects/info/*.lock")

_log = logging.getLogger(__name__)


def clear_dead_git_locks(root: Path, settled: Seconds = SETTLED) -> list[Path]:
    """Remove the locks of the repository `root` that no process can hold; return them.

    Git does not write who holds a lock, and refuses every later command. After a power failure that would last until a
    person deletes the file. To be called by the only one of our processes that changes the repository.
    """
    folder = root / ".git"
    before = {path: mark for pattern in _PATTERNS for path in folder.glob(pattern) if (mark := _mark(path))}
    if not before:
        return []
    time.sleep(settled)
    # looked for after the locks: a process that made one of them and lives is seen here
    if _git_works(root):
        return []
    dead = [path for path, mark in before.items() if _mark(path) == mark]
    for path in dead:
        path.unlink(missing_ok=True)
        _log.warning("removed %s, which a Git process that was killed had left", path)
    return dead


def _mark(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from a later one of its name; None if it does not exist."""
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def _git_works(root: Path) -> bool:
    """Return whether a Git process may work in a repository."""
    place = root.resolve()
    for process in every_process():
        try:
            if not process.name().startswith("git"):
                continue
            folder = Path(process.cwd())
            if folder == place or place in folder.parents or str(root) in process.cmdline():
                return True
        except psutil.AccessDenied:
            # another user's, who may work here
            return True
        except (psutil.Error, OSError):
            # one that has just ended
            continue
    return False
