"""Small requests to the local servers with the standard library only: `elp status` has to be quick."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from elp_core.types import Seconds

LOCAL = {"127.0.0.1", "localhost", "::1"}


def answers(url: str, timeout: Seconds = 2.0) -> bool:
    """Return whether a GET of `url` is answered with success."""
    try:
        with _opener(url).open(url, timeout=timeout) as answer:
            return 200 <= int(answer.status) < 300
    except (urllib.error.URLError, OSError, ValueError):
        return False


def request(
    url: str, body: Any = None, method: str = "", timeout: Seconds = 5.0, login: tuple[str, str] | None = None
) -> Any:
    """Send a GET, a POST if there is a body, or `method`; return the answer's JSON, None if it is empty.

    Args:
        url: Address.
        body: Sent as JSON.
        method: Such as DELETE; empty for GET or POST.
        timeout: How long the server may take.
        login: User name and password.

    Raises:
        OSError: There is no answer, or it is an error (`urllib.error.URLError` is an OSError).
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode()
    call = urllib.request.Request(url, data=data, headers=headers, method=method or None)
    with _opener(url).open(call, timeout=timeout) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def port_is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
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
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return ""


def _opener(url: str) -> urllib.request.OpenerDirector:
    host = urllib.parse.urlsplit(url).hostname or ""
    # a proxy meant for the outside world must not be asked for this machine's own servers
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if host in LOCAL else []))
