"""Locks between the processes of one machine, on a file. The system releases them when a process ends in any way."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_held: dict[Path, int] = {}
"""Descriptors of the locks that this process holds until it ends, by file."""
_guard = threading.Lock()


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


def hold_until_exit(path: Path, *, shared: bool = False) -> bool:
    """Hold the lock on a file for as long as this process lives; return False if another process holds it.

    The processes that it starts or forks do not hold it: after a kill of this process the lock is free, even if they
    live on. `shared` allows others that share it, too. The folder of the file exists.
    """
    # not on Windows, which has neither `elp worker` nor GPUs of ours
    import fcntl

    with _guard:
        if path in _held:
            return True
        # not followed: in a folder where every user may write, a link could name any file of this user
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            with contextlib.suppress(PermissionError):
                # whatever the umask is: other users have to open it, too
                os.fchmod(descriptor, 0o666)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        _held[path] = descriptor
    return True


def is_free(path: Path) -> bool:
    """Return whether no process, nor this one, holds the lock of `hold_until_exit` on a file alone at this moment."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def note_in_lock(path: Path, text: str) -> None:
    """Replace the content of a lock file that this process holds."""
    content = text.encode()
    with _guard:
        os.pwrite(_held[path], content, 0)
        os.ftruncate(_held[path], len(content))


def held_descriptors() -> tuple[int, ...]:
    """Return the descriptors of the locks that `hold_until_exit` holds; a child that inherits them holds them, too."""
    with _guard:
        return tuple(_held.values())


def let_go(path: Path) -> None:
    """Release a lock of `hold_until_exit` before the process ends."""
    with _guard:
        os.close(_held.pop(path))


def _after_fork() -> None:
    """Close the descriptors in a forked child: the system frees a lock when its last descriptor is closed."""
    global _guard
    # another thread may have held it at the moment of the fork
    _guard = threading.Lock()
    for descriptor in _held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
