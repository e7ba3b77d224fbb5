"""Locks that a killed DVC process left in ``.dvc/tmp``: cleared if no live process can hold them, and only then."""

import contextlib
import fcntl
import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path

_PROCESS = re.compile(r'"pid"\s*:\s*(\d+)')
_CLOCK_SECONDS = 2.0
"""Times of files and of processes are rounded differently."""

_log = logging.getLogger(__name__)


def clear_dead_locks(root: Path) -> bool:
    """Remove the read-write lock of the DVC repository `root` if only dead processes wrote it; return whether it was.

    DVC forgives an entry of a dead process, but it refuses a file that the process had half written, and an entry whose
    process number another program has now. ``.dvc/tmp/lock`` needs no clearing: the system releases it when its
    process ends.
    """
    folder = root / ".dvc" / "tmp"
    path = folder / "rwlock"
    if not path.is_file() or not _stale(path):
        return False
    with contextlib.ExitStack() as held:
        try:
            # a DVC process holds the first while it works, and the second while it writes the file
            for name in ("lock", "rwlock.lock"):
                fcntl.flock(held.enter_context((folder / name).open("ab")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # again: another process may have cleared or written it meanwhile
        if not path.is_file() or not _stale(path):
            return False
        path.unlink()
    _log.warning("removed %s, which a DVC process that was killed had left", path)
    return True


def _stale(path: Path) -> bool:
    """Return whether the file blocks DVC although no process that it names is alive."""
    text, written = path.read_text(encoding="utf-8", errors="replace"), path.stat().st_mtime
    processes = [int(number) for number in _PROCESS.findall(text)]
    if _alive(processes, written):
        return False
    try:
        values = json.loads(text)
    except ValueError:
        return True
    # without entries it blocks no process: DVC leaves such a file behind
    return bool(processes) or not isinstance(values, dict) or not values.keys() <= {"read", "write"}


def _alive(processes: Iterable[int], written: float) -> bool:
    """Return whether one of the processes lives that could have written a file at the time `written`."""
    import psutil

    for number in processes:
        # no such process, or one of another user: that one is treated as alive
        with contextlib.suppress(psutil.NoSuchProcess, OverflowError):
            try:
                if psutil.Process(number).create_time() <= written + _CLOCK_SECONDS:
                    return True
            except psutil.AccessDenied:
                return True
    return False
