"""Prefect's server for browsers: a content policy, no request to another host, no browser that bypasses the front.

Prefect's UI has an analytics library that reports to a host of its vendor even if analytics is off, and its server asks
another one for a list of worker types. Checked with 3.8.8.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from pipelines.local.service_commands import FRONT
from pipelines.prefect_names import PREFECT_PATH

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

_API_NAMES = ("PREFECT_API_URL", "PREFECT_SERVER_UI_API_URL", "PREFECT_UI_API_URL")
"""Environment variables that name the address by which the pages ask the server."""
_OWN = ("/api", PREFECT_PATH)
"""The paths of the server behind a front; any other one is an address of its pages without a front."""


def content_policy(*apis: str) -> str:
    """Return the policy: everything from this server, requests also to the addresses of its API, by other names too.

    The pages have styles and a script in their HTML, read the code of a picture from memory, and build functions at run
    time for the graph of a run.
    """
    # the page may be open as localhost while the API is named 127.0.0.1
    parts = (urlsplit(api) for api in apis)
    hosts = dict.fromkeys((part.scheme, part.netloc) for part in parts if part.netloc)
    there = "".join(f" {scheme}://{host} {scheme.replace('http', 'ws')}://{host}" for scheme, host in hosts)
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"worker-src 'self' blob:; connect-src 'self'{there}; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self'"
    )


def with_policy(app: App, front: str = "") -> App:
    """Return the application with the policy on every answer, and without a referrer for links to other hosts.

    With the address of a `front`, browsers get the pages there, and only programs are answered here.
    """
    # a page of the front asks the front only
    apis = [] if front else [os.environ.get(name, "") for name in _API_NAMES]
    headers = [
        (b"content-security-policy", content_policy(*apis).encode()),
        (b"referrer-policy", b"same-origin"),
        (b"x-dns-prefetch-control", b"off"),
    ]

    async def guarded(scope: Scope, receive: Any, send: Send) -> None:
        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        if scope["type"] == "websocket" and front and _has_origin(scope):
            # browsers send no login and ask for no permission before a web socket to another site
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if front and (status := _status_behind_front(scope)):
            query = scope["query_string"]
            # as it was asked: decoded, it may hold the end of a line, and with it further headers
            place = f"{front}{PREFECT_PATH}".encode() + scope["raw_path"] + (b"?" + query if query else b"")
            await send_with_policy({"type": "http.response.start", "status": status, "headers": [(b"location", place)]})
            return await send_with_policy({"type": "http.response.body"})
        await app(scope, receive, send_with_policy)

    return guarded


def _status_behind_front(scope: Scope) -> int:
    """Return the status for a browser that asks this server instead of the front; 0 for any other request."""
    if not scope["path"].startswith(_OWN):
        # a link of the time before the front
        return 307
    return 403 if _has_origin(scope) else 0


def _has_origin(scope: Scope) -> bool:
    """Return whether a page asks; the front does not pass this header on, and programs do not send it."""
    return any(name == b"origin" for name, _ in scope["headers"])


def serve_pages_with_policy() -> None:
    """Let the Prefect server that this process starts send the policy, and ask no other host."""
    from prefect.server.api import collections, server
    from prefect.server.schemas.ui import UISettings

    original, front = server.create_app, os.environ.get(FRONT, "")
    # without an address Prefect takes the list that it ships
    collections.KNOWN_VIEWS.update(dict.fromkeys(collections.KNOWN_VIEWS, ""))

    class FrontSettings(UISettings):
        """The settings that the pages receive: no login, because the front has already checked it."""

        def __init__(self, **values: Any) -> None:
            super().__init__(**{**values, "auth": None})

    def create_app(*args: Any, **kwargs: Any) -> Any:
        return with_policy(original(*args, **kwargs), front)

    if front:
        setattr(server, "UISettings", FrontSettings)  # noqa: B010 (mypy refuses the assignment to a class)
    # the command reads it from the module when it starts the server
    setattr(server, "create_app", create_app)  # noqa: B010 (mypy refuses the assignment to a function)
