from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipelines.errors import ServiceError, UsageError
from pipelines.local import http_client as web
from pipelines.orchestration import prefect_api as prefect
from pipelines.orchestration.follow import follow


class Api:
    """Answers requests with what a test lays out; the last answer to a path is repeated."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.address = ""

    def lay(self, path: str, *answers: Any, status: int = 200) -> None:
        self.answers.setdefault(path, []).extend((status, answer) for answer in answers)

    def take(self, path: str) -> tuple[int, Any]:
        rest = self.answers.get(path, [(404, {})])
        return rest.pop(0) if len(rest) > 1 else rest[0]


@pytest.fixture
def api() -> Iterator[Api]:
    laid = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = laid.take(self.path.removeprefix("/api"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def do_PATCH(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        laid.address = f"http://127.0.0.1:{server.server_port}/api"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield laid
        server.shutdown()


def _run(kind: str, name: str = "", message: str = "") -> dict[str, Any]:
    return {
        "id": "1",
        "name": "retrain a/asr",
        "state": {"type": kind, "name": name or kind.title(), "message": message},
    }


def _line(message: str, level: int = 20) -> dict[str, Any]:
    return {"level": level, "message": message}


RUN = prefect.FlowRun("1", "retrain a/asr", "Scheduled", "SCHEDULED", "", "")


def test_following_passes_on_states_and_lines_until_the_end(api: Api) -> None:
    api.lay("/flow_runs/1", _run("RUNNING"), _run("COMPLETED", prefect.REFUSED, "worse"))
    error = "Task failed: bad\nTraceback (most recent call last):\n  deep"
    noise = [_line("Finished in state Completed()"), _line("Encountered exception during execution: X('bad')", 40)]
    api.lay("/logs/filter", [_line("taking in x"), *noise], [_line(error, 40)], [])
    said: list[str] = []
    ended = follow(api.address, RUN, "elp-gpu", said.append, every=0.0)
    assert (ended.state, ended.message) == (prefect.REFUSED, "worse")
    assert said == ["taking in x", "retrain a/asr: Running", "error: Task failed: bad"]


def test_a_busy_database_is_asked_again(api: Api, monkeypatch) -> None:
    monkeypatch.setattr(prefect, "_BUSY_DELAYS", (0.0, 0.0))
    api.lay("/x", {}, status=503)
    api.lay("/x", {"fine": True})
    assert prefect.call(api.address, "/x") == {"fine": True}


def test_a_server_that_stays_busy_is_an_error(api: Api, monkeypatch) -> None:
    monkeypatch.setattr(prefect, "_BUSY_DELAYS", (0.0,))
    api.lay("/x", {"exception_message": "Service Unavailable"}, status=503)
    with pytest.raises(ServiceError, match="HTTP 503: Service Unavailable"):
        prefect.call(api.address, "/x")


def test_a_refused_value_says_what_is_wrong_with_it(api: Api) -> None:
    details = [{"type": "missing", "msg": "Field required"}, {"type": "value_error", "msg": "Invalid cron string"}]
    api.lay("/x", {"exception_detail": details}, status=422)
    with pytest.raises(UsageError, match=r"refused the request: Invalid cron string$"):
        prefect.call(api.address, "/x", {})


def test_nobody_there_names_the_address_and_the_next_step() -> None:
    gone = f"http://127.0.0.1:{web.free_port('127.0.0.1')}/api"
    with pytest.raises(ServiceError, match=rf"does not answer at {gone} .*elp status"):
        prefect.call(gone, "/x")


def test_the_outcome_is_the_runs_own_table(api: Api) -> None:
    api.lay("/artifacts/filter", [{"data": json.dumps([{"what": "verdict", "value": "passed"}])}])
    assert prefect.read_outcome(api.address, "1") == {"verdict": "passed"}
    api.answers.clear()
    api.lay("/artifacts/filter", [])
    assert prefect.read_outcome(api.address, "1") == {}
