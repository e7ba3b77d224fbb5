"""Locks between the processes of one machine, on a file. The system releases them when a process ends in any way."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def file_lock(path: Path, *, wait: float = -1, when_taken: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock on `path` (the file stays) while the block runs; `when_taken` is called before waiting for it.

    Raises TimeoutError if another process still holds it after `wait` seconds; -1 waits for ever.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if when_taken is not None:
                when_taken()
            lock.acquire(timeout=wait)
    except Timeout as error:
        raise TimeoutError(f"another process holds the lock {path}") from error
    try:
        yield
    finally:
        lock.release()
