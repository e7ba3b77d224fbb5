"""Outages: a server or a store that does not answer, or a disk that is full. A flow run waits until they are over.

The functions look at an error and at what caused it. A refused login, a wrong address, a bad certificate and an answer
with a status below 500 are no outages: they stay as they are until a person changes something.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import DataRemoteAway, DiskFull, RemoteAway, VersioningError, WorkerEnded

WAITS = "waits for the end of an outage: "
"""Beginning of the message of a flow run that waits."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_TEXTS = {"SafetensorError": f"(os error {errno.ENOSPC})", "OperationalError": "disk is full"}
"""Class -> what its message says about a full disk: of safetensors, and of SQLite."""
_MAYBE_FULL = "disk I/O error"
"""What SQLite's OperationalError says if there is no room for its shared memory, and if the disk is broken."""
_ROOM = 128 * 1024
"""Bytes that a disk with room takes. SQLite extends its files by at most 32 KiB at once."""
_AWAY = frozenset(
    {
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.EPIPE, errno.ETIMEDOUT,
        errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ESTALE,
        # s3fs translates 503 and 500 of a store into these
        errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO),
    }
)  # fmt: skip
_CLASSES = frozenset(
    {
        ("botocore.exceptions", "ConnectionError"), ("botocore.exceptions", "HTTPClientError"),
        ("botocore.exceptions", "IncompleteReadError"),
        ("asyncssh.misc", "ConnectionLost"), ("http.client", "IncompleteRead"),
        ("urllib3.exceptions", "ProtocolError"), ("urllib3.exceptions", "TimeoutError"),
    }
)  # fmt: skip
"""Module and name of classes that mean a lost connection: their libraries are not imported here."""


def awaited(error: BaseException) -> str:
    """Return what a run that failed with this error waits for, as a sentence; empty if waiting does not help."""
    for one in _chain(error):
        # a worker that was ended stops taking runs, and another one does this one
        if isinstance(one, RemoteAway | DiskFull | WorkerEnded):
            return str(one)
        if _full(one):
            place = f" at {one.filename}" if isinstance(one, OSError) and one.filename else ""
            return f"the disk is full{place}; free some space"
    return ""


def disk_is_full(error: BaseException, databases: Path | None = None) -> OSError | None:
    """Return the system's error of a full disk that caused an error; None if there is none.

    SQLite's "disk I/O error" counts only if the disk of its folder `databases` takes nothing at this moment.
    """
    for one in _chain(error):
        if _full(one):
            return one if isinstance(one, OSError) else OSError(errno.ENOSPC, str(one))
        if databases and type(one).__name__ == "OperationalError" and _MAYBE_FULL in str(one):
            return _without_room(databases)
    return None


def is_away(error: BaseException) -> bool:
    """Return whether an error was caused by a server that does not answer, or answers with a fault of its own."""
    return any(_away(one) for one in _chain(error)) and not any(_certificate(one) for one in _chain(error))


@contextlib.contextmanager
def read_faults(what: str, so: str = "") -> Iterator[None]:
    """Raise a VersioningError if a read of the DVC remote fails: DataRemoteAway if an outage is the cause.

    `what` names the file in the message, `so` is what follows from the fault.
    """
    try:
        yield
    except Exception as error:
        # each kind of storage has its own error classes
        kind, remedy = VersioningError, "restore it from a backup"
        if is_away(error):
            kind, remedy = DataRemoteAway, "try again when the DVC remote answers"
        raise kind(f"{what} cannot be read{so}: {error}; {remedy}") from error


def _full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    # these libraries report the system's error as a text
    sign = _FULL_TEXTS.get(type(error).__name__)
    return sign is not None and sign in str(error)


def _without_room(folder: Path) -> OSError | None:
    """Return the error of a write to the disk of a folder if the disk is full: a quota may be the limit, too."""
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(_ROOM))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return OSError(error.errno, error.strerror, str(folder)) if error.errno in DISK_FULL else None
    return None


def _away(error: BaseException) -> bool:
    if _status(error) >= 500 or isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, socket.gaierror):
        # a name that does not exist is a wrong address
        return error.errno == socket.EAI_AGAIN
    if isinstance(error, OSError) and (error.errno in _AWAY or "Connect call failed" in str(error)):
        # asyncio names the attempts at several addresses of a host in a text
        return True
    return any((kind.__module__, kind.__name__) in _CLASSES for kind in type(error).__mro__)


def _certificate(error: BaseException) -> bool:
    return type(error).__name__ in ("SSLCertVerificationError", "SSLError")


def _status(error: BaseException) -> int:
    """Return the HTTP status of an error of urllib, requests or boto3; 0 if it has none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(response, "status_code", None) or getattr(error, "code", None)
    return found if isinstance(found, int) else 0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and what caused it: libraries wrap the system's error, at times more than once."""
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
