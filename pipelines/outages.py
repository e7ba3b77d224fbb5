"""Outages: a server or a store that does not answer, or a disk that is full. A flow run waits until they are over.

The functions look at an error and at what caused it. A refused login, a wrong address, a bad certificate and an answer
with a status below 500 are no outages: they stay as they are until a person changes something.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from pipelines.errors import DiskFull, RemoteAway

WAITS = "waits for the end of an outage: "
"""Beginning of the message of a flow run that waits."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_TEXTS = {"SafetensorError": f"(os error {errno.ENOSPC})", "OperationalError": "disk is full"}
"""Class -> what its message says about a full disk: of safetensors, and of SQLite."""
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
        ("asyncssh.misc", "ConnectionLost"), ("http.client", "IncompleteRead"),
        ("urllib3.exceptions", "ProtocolError"), ("urllib3.exceptions", "TimeoutError"),
    }
)  # fmt: skip
"""Module and name of classes that mean a lost connection: their libraries are not imported here."""


def awaited(error: BaseException) -> str:
    """Return what a run that failed with this error waits for, as a sentence; empty if waiting does not help."""
    for one in _chain(error):
        if isinstance(one, RemoteAway | DiskFull):
            return str(one)
        if _full(one):
            place = f" at {one.filename}" if isinstance(one, OSError) and one.filename else ""
            return f"the disk is full{place}; free some space"
    return ""


def disk_is_full(error: BaseException) -> OSError | None:
    """Return the system's error of a full disk that caused an error; None if there is none."""
    for one in _chain(error):
        if _full(one):
            return one if isinstance(one, OSError) else OSError(errno.ENOSPC, str(one))
    return None


def is_away(error: BaseException) -> bool:
    """Return whether an error was caused by a server that does not answer, or answers with a fault of its own."""
    return any(_away(one) for one in _chain(error)) and not any(_certificate(one) for one in _chain(error))


def _full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    # these libraries report the system's error as a text
    sign = _FULL_TEXTS.get(type(error).__name__)
    return sign is not None and sign in str(error)


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
