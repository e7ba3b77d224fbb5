"""The guard's client against a server that answers what the test says: how failures reach the user."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from elp_core.errors import OpsError
from pipelines.errors import GateRefused, RegistryError, ServiceError
from pipelines.registry.client import server_api as guard
from pipelines.registry.ledger.entry import LedgerEntry, Principal
from tests.support.mlflow_server import free_port


class Answers(HTTPServer):
    """Gives one answer to everything, and keeps what it was asked."""

    status, body = 200, b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Answers)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), sent))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_a_statement_is_handed_over_as_json(server: Answers) -> None:
    server.body = b'{"digest": "abc"}'
    assert guard.submit_statement(server.uri, "elp.a.asr", 3, "{}") == "abc"
    method, path, headers, sent = server.asked[0]
    assert (method, path, headers["Content-Type"]) == ("POST", "/elp/api/v1/statements", "application/json")
    assert json.loads(sent) == {"model": "elp.a.asr", "version": 3, "envelope": "{}"}


def test_statements_are_asked_for_by_what_is_wanted(server: Answers) -> None:
    stored = guard.StoredStatement("abc", "lineage", 7, "elp.a.asr", 3, "2026-11-01T00:00:00+00:00", "{}")
    server.body = json.dumps({"statements": [{**vars(stored), "keyid": "k"}]}).encode()
    assert next(guard.list_statements(server.uri, model="elp.a.asr", version=3)) == stored
    assert server.asked[0][1] == "/elp/api/v1/statements?model=elp.a.asr&version=3&limit=500"


def test_statements_are_read_page_by_page_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [guard.StoredStatement(str(seq), "lineage", seq, "elp.a.asr", 3, "", "{}") for seq in (9, 7, 4)]
    asked: list[int] = []

    def ask(uri: str, method: str, route: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append(params.get("before", 0))
        below = [vars(one) for one in stored if one.seq < params.get("before", 10)]
        return {"statements": below[: params["limit"]]}

    monkeypatch.setattr(guard, "call_server", ask)
    monkeypatch.setattr(guard, "PAGE", 2)
    assert list(guard.list_statements("http://host", model="elp.a.asr")) == stored
    assert asked == [0, 7]


def test_the_ledger_is_read_page_by_page_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = LedgerEntry(
        0, "", "2026-11-01T00:00:00+00:00", "gated", "a/asr", None, 1, "", Principal("ann", True, ""), ""
    )
    texts = [replace(entry, seq=number).text if number != 4 else "not an entry" for number in range(1, 6)]
    stored = [{"seq": seq, "text": text, "hash": "", "envelope": ""} for seq, text in enumerate(texts, 1)]

    def ask(uri: str, method: str, route: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"entries": [row for row in stored if row["seq"] > params["after"]][: params["limit"]]}

    monkeypatch.setattr(guard, "call_server", ask)
    monkeypatch.setattr(guard, "PAGE", 2)
    assert [row.seq for row in guard.ledger_rows("http://host", after=1)] == [2, 3, 4, 5]
    assert [entry.seq for entry in guard.ledger_entries("http://host")] == [1, 2, 3, 5]


def test_a_login_is_sent_where_one_is_set(server: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    server.body = b'{"digest": "abc"}'
    guard.submit_statement(server.uri, "elp.a.asr", 3, "{}")
    assert server.asked[0][2]["Authorization"] == "Basic " + base64.b64encode(b"ann:secret").decode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (
            403,
            b'{"error_code":"PERMISSION_DENIED","message":"v3 was never gated; gate it"}',
            GateRefused,
            "never gated",
        ),
        (401, b"", ServiceError, "needs a login: set MLFLOW_TRACKING_USERNAME"),
        (404, b"<h1>Not Found</h1>", ServiceError, "has no guard .*; start it with elp up, or .* docs/.*/registry.md"),
        (404, b'{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no v9"}', RegistryError, "the guard at .*: no v9"),
        (502, b"<h1>Bad Gateway</h1>", ServiceError, r"no MLflow server answers .* \(it answered 502\)"),
        (200, b"<html>", ServiceError, "has no guard"),
        (200, b"[]", ServiceError, "has no guard"),
    ],
)
def test_every_failure_says_what_to_do(
    server: Answers, status: int, body: bytes, kind: type[OpsError], sentence: str
) -> None:
    server.status, server.body = status, body
    with pytest.raises(kind, match=sentence):
        guard.submit_statement(server.uri, "elp.a.asr", 3, "{}")


def test_a_server_that_is_gone_is_told() -> None:
    with pytest.raises(ServiceError, match=r"no MLflow server answers .* elp up"):
        guard.submit_statement(f"http://127.0.0.1:{free_port()}", "elp.a.asr", 3, "{}")
