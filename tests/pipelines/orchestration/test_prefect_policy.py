"""Prefect's own port behind a front: programs are answered, browsers are sent to the front."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import pytest

from pipelines.orchestration.prefect_pages import content_policy, with_policy

FRONT = "http://127.0.0.1:5000"


def _ask(path: str, front: str = FRONT, query: bytes = b"", **headers: str) -> tuple[int, dict[bytes, bytes]]:
    """Return the status and the headers of the answer."""
    sent: list[Any] = []

    async def prefect(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw = path.encode()
    scope = {"type": "http", "path": unquote(path), "raw_path": raw, "query_string": query, "headers": given}
    asyncio.run(with_policy(prefect, front)(scope, None, send))
    assert sent[-1]["type"] == "http.response.body"
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize("path", ["/api/flow_runs/filter", "/prefect/v2/runs"])
def test_programs_and_the_front_are_answered(path: str) -> None:
    assert _ask(path)[0] == 200


def test_a_link_of_the_time_before_the_front_leads_there() -> None:
    status, headers = _ask("/runs/flow-run/a", query=b"tab=Logs")
    assert (status, headers[b"location"]) == (307, b"http://127.0.0.1:5000/prefect/runs/flow-run/a?tab=Logs")


def test_an_escaped_end_of_a_line_adds_no_header() -> None:
    _, headers = _ask("/x%0d%0aSet-Cookie:%20a=b")
    assert headers[b"location"] == b"http://127.0.0.1:5000/prefect/x%0d%0aSet-Cookie:%20a=b"


@pytest.mark.parametrize(("front", "origin", "passed"), [(FRONT, True, False), (FRONT, False, True), ("", True, True)])
def test_a_page_opens_no_web_socket_beside_the_front(front: str, origin: bool, passed: bool) -> None:
    sent: list[Any] = []
    reached: list[str] = []

    async def prefect(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"origin", b"https://evil.example")] if origin else []
    scope = {"type": "websocket", "path": "/api/events/out", "headers": headers}
    asyncio.run(with_policy(prefect, front)(scope, None, send))
    assert reached == (["/api/events/out"] if passed else [])
    assert sent == ([] if passed else [{"type": "websocket.close", "code": 1008}])


@pytest.mark.parametrize("origin", ["https://evil.example", FRONT, "null"])
def test_a_page_of_another_site_gets_nothing(origin: str) -> None:
    assert _ask("/api/flow_runs/filter", origin=origin)[0] == 403


def test_without_a_front_every_request_is_answered() -> None:
    assert _ask("/runs", "", origin="http://localhost:4200")[0] == 200


def test_behind_a_front_the_pages_may_ask_the_front_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    policy = b"content-security-policy"
    assert b"connect-src 'self';" in _ask("/prefect/")[1][policy]
    assert b"connect-src 'self' http://127.0.0.1:4200 ws://127.0.0.1:4200;" in _ask("/runs", "")[1][policy]
    # an address without a host is this server
    assert content_policy("/prefect/api") == content_policy()
