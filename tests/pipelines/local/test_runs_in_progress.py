from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.local.addresses import PREFECT, Record, write_record
from pipelines.local.processes import Process
from pipelines.local.runs_in_progress import runs_in_progress
from pipelines.local.workspace import Workspace


@pytest.fixture
def prefect() -> Iterator[str]:
    """A server that answers every question with two runs, one of them on another machine's worker."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps([{"name": "here", "infrastructure_pid": str(os.getpid())}, {"name": "there"}]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _living(name: str, address: str = "") -> Process:
    import psutil

    return Process(name, os.getpid(), psutil.Process().create_time(), "", address)


def test_nothing_runs_if_nothing_was_started(workspace: Workspace) -> None:
    assert runs_in_progress(workspace) == []


def test_our_server_takes_every_run_with_it(workspace: Workspace, prefect: str) -> None:
    write_record(workspace, Record((_living(PREFECT, prefect),)))
    assert runs_in_progress(workspace) == ["here", "there"]


def test_of_a_server_elsewhere_only_our_workers_runs_end(workspace: Workspace, prefect: str, monkeypatch) -> None:
    servers = replace(workspace.settings.servers, prefect_api=f"{prefect}/api")
    elsewhere = replace(workspace, settings=replace(workspace.settings, servers=servers))
    assert runs_in_progress(elsewhere) == []
    write_record(elsewhere, Record((_living("elp-gpu"),)))
    monkeypatch.setattr("pipelines.local.runs_in_progress.descendants", lambda _: {os.getpid()})
    assert runs_in_progress(elsewhere) == ["here"]


def test_a_server_that_is_silent_holds_nothing(workspace: Workspace) -> None:
    write_record(workspace, Record((_living(PREFECT, "http://127.0.0.1:1"),)))
    assert runs_in_progress(workspace) == []
