"""Small requests to the local servers with the standard library only: `elp status` has to be quick."""

import base64
import contextlib
import http.client
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from elp_core.types import Seconds
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.registry.plain_json import reason_in

_ERROR_BYTES = 65_536
"""Of the answer with an error status: JSON that is cut cannot be read."""


def answers(url: str, timeout: Seconds = 2.0) -> bool:
    """Return whether a GET of `url` is answered with success."""
    try:
        with _opener(url).open(url, timeout=timeout) as answer:
            return 200 <= int(answer.status) < 300
    except (OSError, ValueError, http.client.HTTPException):
        return False


def date_of(url: str, timeout: Seconds = 5.0) -> datetime:
    """Return when a server answers a GET of `url`, in whole seconds of its own clock; no answer raises an OSError."""
    try:
        with _opener(url).open(url, timeout=timeout) as answer:
            return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (http.client.HTTPException, TypeError, ValueError) as error:
        raise ConnectionError(f"the answer of {url} has no date ({type(error).__name__}: {error})") from error


def request(
    url: str,
    body: Any = None,
    timeout: Seconds = 5.0,
    login: tuple[str, ...] | None = None,
    method: str | None = None,
) -> Any:
    """Send a GET, or a POST (or another `method`) of `body` as JSON; return the answer's JSON, None if it is empty.

    `login` is a user name and a password, or one key. No answer, one with an error status, and one that breaks off or
    is no JSON raise an OSError; that of an error status has the server's reason in its `reason`.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode()
    try:
        with _opener(url).open(urllib.request.Request(url, data, headers, method=method), timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        # it is the answer, too, and would keep its connection for as long as the exception is kept
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            said = reason_in(error.read(_ERROR_BYTES).decode(errors="replace"))
            error.msg = f"{error.msg}: {said}" if said else error.msg
        raise
    except (http.client.HTTPException, ValueError) as error:
        # a server that ends while it answers; http.client's errors are not OSErrors
        raise ConnectionError(f"the answer of {url} cannot be read ({type(error).__name__}: {error})") from error


def port_is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # a server binds a port although old connections of it are still being closed
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """Return a port that is free now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_owner(port: int) -> str:
    """Return who listens there, such as ``python3 (pid 4711)``; empty if that cannot be seen."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return ""
    listening = (c for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port)
    pid = next((connection.pid for connection in listening if connection.pid), None)
    if pid is None:
        return ""
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"


def _opener(url: str) -> urllib.request.OpenerDirector:
    host = urllib.parse.urlsplit(url).hostname or ""
    # a proxy meant for the outside world must not be asked for this machine's own servers
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if host in LOCAL_HOSTS else []))
