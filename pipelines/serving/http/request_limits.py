"""What every request passes before its route: the key, a free place, and the size of its body.

A request that finds no place is answered at once with 429 and the time after which to try again; it never waits until
it times out. A body that is too large is refused by its header, or as soon as it exceeds the limit.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elp_core.types import Seconds
from pipelines.errors import RequestRefused, WorkspaceError
from pipelines.serving.http.api_keys import ApiKey, ApiKeyFile
from pipelines.serving.http.body_room import BodyRoom, Hold
from pipelines.serving.http.error_answers import error_answer
from pipelines.serving.http.server_names import ServerNames
from pipelines.serving.http.service_metrics import ServiceMetrics

_log = logging.getLogger("elp.serve")
OPEN_PATHS = ("/healthz", "/readyz")
"""They answer without a key; without one, `/readyz` has no details."""
_WEBSOCKET_RETRY = 5
"""Seconds after which a client may ask for a websocket again: nobody knows how long those that are open stay."""


@dataclass(frozen=True)
class RequestBounds:
    """Limits of requests."""

    requests: int = 64
    """Requests in progress at once; the next one is answered with 429."""
    websockets: int = 16
    """Websockets at once; the next one is answered with 429."""
    body_bytes: int = 128 * 2**20
    """Largest body."""
    all_bodies_bytes: int = 512 * 2**20
    """Bodies of all requests in progress; the next one is answered with 429, unless it is alone."""
    body_seconds: Seconds = 30.0
    """Longest pause of a client that sends its body."""


class RequestLimits:
    """ASGI middleware; it counts the answers too.

    Args:
        app: The routes.
        bounds: Of requests.
        keys: Who may ask.
        bodies: Counts the bytes of all requests.
        delay: Estimate of the time until a place is free.
        metrics: Count each request.
        names: By which browsers may ask.
    """

    def __init__(
        self,
        app: ASGIApp,
        bounds: RequestBounds,
        keys: ApiKeyFile,
        bodies: BodyRoom,
        delay: Callable[[], Seconds],
        metrics: ServiceMetrics,
        names: ServerNames,
    ) -> None:
        self._app, self._bounds, self._keys, self._delay, self._metrics = app, bounds, keys, delay, metrics
        self._bodies, self._names = bodies, names
        self._running, self._live = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        began, state = time.monotonic(), scope.setdefault("state", {})
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._checked(scope, receive, counted, state)
        except RequestRefused as error:
            await error_answer(error)(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count_request(route, state.get("slot", ""), status, time.monotonic() - began)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        # for each message: a key may be revoked while the websocket is open
        state["principal"] = lambda: self._principal(scope)
        try:
            self._require_place(scope, state)
        except RequestRefused as error:
            # it is not accepted yet: the client reads an answer of HTTP
            self._metrics.count_request("other", "", error.status, 0.0)
            await error_answer(error)(scope, receive, send)
            return
        self._live += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._live -= 1

    def _require_place(self, scope: Scope, state: MutableMapping[str, Any]) -> None:
        """Raise RequestRefused unless a websocket is from here, with a key if there are keys, and has a place."""
        state["key"], state["closed"] = key, closed = self._principal(scope)
        self._names.require_own(scope["headers"], closed=closed)
        if closed and key is None:
            raise unknown_key()
        if self._live >= self._bounds.websockets:
            raise RequestRefused(
                429,
                "queue_full",
                f"{self._live} websockets are open here; try again in {_WEBSOCKET_RETRY} s",
                _WEBSOCKET_RETRY,
            )

    async def _checked(self, scope: Scope, receive: Receive, send: Send, state: MutableMapping[str, Any]) -> None:
        state["key"], state["closed"] = key, closed = self._principal(scope)
        self._names.require_own(scope["headers"], closed=closed)
        if key is None and closed and scope["path"] not in OPEN_PATHS:
            raise unknown_key()
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        length = self._length(scope)
        if self._running >= self._bounds.requests:
            wait = max(1, math.ceil(self._delay()))
            raise RequestRefused(
                429, "queue_full", f"{self._running} requests are in progress here; try again in {wait} s", wait
            )
        self._running += 1
        try:
            with self._bodies.place() as hold:
                hold(length)
                await self._app(scope, self._bounded(receive, length, hold), send)
        finally:
            self._running -= 1

    def _principal(self, scope: Scope) -> tuple[ApiKey | None, bool]:
        """Return the key that a request or a websocket sends as a bearer token, and whether it needs one."""
        try:
            return self._key(scope), self._keys.required
        except WorkspaceError as error:
            # the server still computes; but who may ask is not known
            _log.error("the file of API keys is damaged, everything is refused: %s", error)
            return None, True

    def _key(self, scope: Scope) -> ApiKey | None:
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
        kind, _, text = sent.partition(" ")
        return self._keys.find(text.strip()) if kind.lower() == "bearer" and text else None

    def _length(self, scope: Scope) -> int:
        """Return the length that the header announces, 0 without one; raises RequestRefused if it is over the limit."""
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > self._bounds.body_bytes:
            raise self._too_large()
        return int(length)

    def _too_large(self) -> RequestRefused:
        return RequestRefused(
            413, "body_too_large", f"the body is over {self._bounds.body_bytes:,} bytes; cut the recording or send FLAC"
        )

    def _bounded(self, receive: Receive, length: int, hold: Hold) -> Receive:
        """Return `receive` that counts the body, and does not wait for ever for its next part."""
        taken, complete = 0, False

        async def bounded() -> Message:
            nonlocal taken, complete
            if complete:
                # only the end of the connection can follow, after any time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._bounds.body_seconds)
            except TimeoutError:
                raise RequestRefused(
                    408,
                    "body_timeout",
                    f"nothing of the body came for {self._bounds.body_seconds:.0f} s; send it again",
                ) from None
            taken += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if taken > self._bounds.body_bytes:
                raise self._too_large()
            # a body that comes in chunks has no length before
            hold(max(length, taken))
            return message

        return bounded


def unknown_key() -> RequestRefused:
    """Return the answer for a request without a key that is known here."""
    return RequestRefused(
        401, "invalid_api_key", "the API key is missing or not known here; make one with: elp api-keys add NAME"
    )
