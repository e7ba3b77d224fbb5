"""The front with real connections on both sides: a small ASGI server in the place of Prefect, and raw requests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from pipelines.server.auth.middleware import AuthMiddleware
from pipelines.server.auth.principal import Caller
from pipelines.server.front import passed_request
from pipelines.server.front.prefect_front import PrefectFront

KEY = "elp:key"
USERS = {
    ("anna", "a"): Caller("anna", True, "", admin=True),
    ("dora", "d"): Caller("dora", True, "", roles=("auditor",)),
}
PIECE, PIECES = b"x" * 65536, 3000
"""200 MB."""


@dataclass
class Upstream:
    """What stands for Prefect: it notes what it gets."""

    address: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    sent: int = 0
    left: bool = False
    """Whether the reader of a long answer left before its end."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.got.append({**scope, "body": body, "headers": dict(scope["headers"])})
        last = scope["path"].rpartition("/")[2]
        status = {"refused": 401, "moved": 307}.get(last, 200)
        headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=b")]
        if status == 307:
            headers.append((b"location", f"{self.address}/api/flows".encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        left = asyncio.create_task(receive())
        for _ in range(PIECES if last == "long" else 0):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent += 1
            if left.done():
                self.left = True
                return
        left.cancel()
        if last == "broken":
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("broken on purpose")
        await send({"type": "http.response.body", "body": b"done"})


@contextlib.contextmanager
def _serve(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


async def _mlflow(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mlflow"})


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    app = Upstream()
    with _serve(app) as app.address:
        yield app


@pytest.fixture(scope="module")
def front(upstream: Upstream) -> Iterator[str]:
    with _serve(AuthMiddleware(PrefectFront(_mlflow, upstream.address, KEY), lambda *word: USERS.get(word))) as address:
        yield address


def _connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def _ask(address: str, request: str, user: str = "anna:a", body: bytes = b"", host: str = "") -> tuple[int, str]:
    """Send one request as it is; return the status, and the headers with the body."""
    login = f"Authorization: Basic {base64.b64encode(user.encode()).decode()}\r\n" if user else ""
    line, _, more = request.partition("\n")
    head = (
        f"{line} HTTP/1.1\r\nHost: {host or address.removeprefix('http://')}\r\n{login}Connection: close\r\n{more}\r\n"
    )
    with _connect(address) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer.decode("latin-1")


def test_a_request_arrives_with_the_key_and_without_the_password(front: str, upstream: Upstream) -> None:
    body = b'{"limit": 1}'
    sent = f"POST /prefect/api/flows/filter?a=%2F\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    status, answer = _ask(front, f"{sent}Cookie: session=1\r\nX-Forwarded-For: 1.2.3.4\r\n", "dora:d", body)
    got = upstream.got[-1]
    assert status == 200
    assert "done" in answer
    assert "set-cookie" not in answer
    assert (got["method"], got["raw_path"], got["query_string"]) == ("POST", b"/api/flows/filter", b"a=%2F")
    assert got["body"] == body
    assert base64.b64decode(got["headers"][b"authorization"].split()[1]).decode() == KEY
    assert got["headers"].keys() == {b"host", b"content-type", b"content-length", b"authorization"}


def test_other_paths_are_mlflow_s(front: str) -> None:
    for path in ("/", "/prefectx", "/elp/", "//prefect/api/hello", "http://evil.example/prefect/api/hello"):
        assert _ask(front, f"GET {path}")[1].partition("\r\n\r\n")[2].count("mlflow") == 1


@pytest.mark.parametrize(
    ("request_", "user", "status"),
    [
        ("GET /prefect/", "", 401),
        ("GET /prefect/api/hello", "anna:no", 401),
        ("POST /prefect/api/deployments/x/create_flow_run", "dora:d", 403),
        ("POST /prefect/api/flow_runs/x/set_state", "dora:d", 403),
        ("DELETE /prefect/api/flow_runs/x", "dora:d", 403),
        ("POST /prefect/api/flow_runs/x/set%5Fstate", "dora:d", 403),
        ("POST /prefect/api/flow_runs/filter/../x/set_state", "dora:d", 403),
        ("POST /prefect/api/flow_runs/x/set_state/..%2f..%2ffilter", "dora:d", 400),
        ("POST /prefect/api/flow_runs/x/set_state%2ffilter", "dora:d", 400),
        ("POST /prefect/api/flow_runs/x/set_state/%2e%2e/%2e%2e/filter", "dora:d", 400),
        ("POST /prefect/api/flow_runs/x/set_state#/filter", "dora:d", 400),
        ("POST /prefect/api/flow_runs/x/set_state?/filter", "dora:d", 403),
        ("POST /prefect/api/flow_runs/x/set_state;/filter", "dora:d", 200),
        ("GET /prefect/api/block_documents/x", "dora:d", 403),
        ("GET /prefect/%2e%2e/api/hello", "anna:a", 400),
        ("GET /prefect/api/hello\nOrigin: http://evil.example\r\n", "anna:a", 403),
        ("POST /prefect/api/flows/filter\nSec-Fetch-Site: cross-site\r\n", "anna:a", 403),
        ("TRACE /prefect/api/hello", "anna:a", 405),
        ("OPTIONS /prefect/api/hello", "anna:a", 405),
        ("GET /prefect/api/hello\nHost: evil.example\r\n", "anna:a", 400),
    ],
)
def test_what_is_refused_does_not_arrive(front: str, upstream: Upstream, request_: str, user: str, status: int) -> None:
    before = len(upstream.got)
    assert _ask(front, request_, user)[0] == status
    assert len(upstream.got) == before + (status == 200)
    if status == 200:
        # one path for both: what the right was checked for is what Prefect was asked for
        assert upstream.got[-1]["path"] == "/api/flow_runs/x/set_state;/filter"


def test_a_wrong_host_is_refused(front: str) -> None:
    status, answer = _ask(front, "GET /prefect/api/hello", host="evil.example")
    assert status == 403
    assert "rebinding" in answer


def test_a_web_socket_is_refused_with_a_login_too(front: str, upstream: Upstream) -> None:
    before = len(upstream.got)
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    for user in ("", "anna:a"):
        login = f"Authorization: Basic {base64.b64encode(user.encode()).decode()}\r\n"
        with _connect(front) as connection:
            host = front.removeprefix("http://")
            connection.sendall(f"GET /prefect/api/events/out HTTP/1.1\r\nHost: {host}\r\n{login}{upgrade}\r\n".encode())
            assert b"403" in connection.recv(200).split(b"\r\n")[0]
    assert len(upstream.got) == before


def test_a_redirect_leads_below_the_front(front: str) -> None:
    assert "location: /prefect/api/flows\r\n" in _ask(front, "GET /prefect/api/moved")[1]
    assert "location: /prefect/?a=b\r\n" in _ask(front, "GET /prefect?a=b")[1]


def test_a_body_in_pieces_arrives_whole_and_a_second_request_in_it_does_not(front: str, upstream: Upstream) -> None:
    hidden = b"DELETE /api/flow_runs/x HTTP/1.1\r\nHost: x\r\n\r\n"
    pieces = f"{len(hidden):x}\r\n".encode() + hidden + b"\r\n0\r\n\r\n"
    before = len(upstream.got)
    sent = "POST /prefect/api/flows/filter\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
    assert _ask(front, sent, body=pieces)[0] == 200
    assert [got["body"] for got in upstream.got[before:]] == [hidden]
    # two lengths: the server in front of us or we refuse it, and Prefect does not see it
    both = f"{sent}Content-Length: 4\r\n"
    assert _ask(front, both, body=pieces)[0] in (200, 400)
    assert [got["method"] for got in upstream.got[before:]] == ["POST"] * len(upstream.got[before:])


def test_a_body_that_is_too_long_is_refused(front: str) -> None:
    length = passed_request.LONGEST_BODY + 1
    status, answer = _ask(front, f"POST /prefect/api/flows/filter\nContent-Length: {length}\r\n", body=b"x" * length)
    assert (status, str(passed_request.LONGEST_BODY) in answer) == (413, True)


def test_a_long_answer_stops_when_nobody_reads_it_any_more(front: str, upstream: Upstream) -> None:
    upstream.sent = 0
    login = base64.b64encode(b"anna:a").decode()
    with _connect(front) as connection:
        host = front.removeprefix("http://")
        asked = f"GET /prefect/api/long HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {login}\r\n\r\n"
        connection.sendall(asked.encode())
        connection.recv(1000)
        # not read: what has been taken from Prefect is bounded by the buffers of the connections
        time.sleep(1.0)
        taken = upstream.sent
    assert taken < 400
    deadline = time.monotonic() + 60
    while not upstream.left:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert upstream.sent < PIECES


def test_an_answer_that_breaks_off_is_not_whole_for_the_browser(front: str) -> None:
    status, answer = _ask(front, "GET /prefect/api/broken")
    assert status == 200
    # the last piece of a chunked answer is missing
    assert not answer.endswith("0\r\n\r\n")


def test_a_key_that_prefect_does_not_accept_is_not_the_visitor_s_fault(front: str) -> None:
    status, answer = _ask(front, "GET /prefect/api/refused")
    assert status == 502
    assert "does not accept this server's key; restart both with: elp down, then elp up" in answer
    assert "www-authenticate" not in answer


def test_while_prefect_is_down_a_page_says_so_and_looks_again() -> None:
    with _serve(PrefectFront(_mlflow, "http://127.0.0.1:1")) as address:
        status, page = _ask(address, "GET /prefect/runs\nAccept: text/html\r\n")
        assert status == 502
        assert 'http-equiv="refresh"' in page
        assert "look at: elp status, then start it with: elp up" in page
        status, answer = _ask(address, "GET /prefect/api/hello")
        assert status == 502
        assert json.loads(answer.partition("\r\n\r\n")[2])["message"].startswith("Prefect does not answer")
