from __future__ import annotations

import os
from typing import Any

import pytest

from pipelines.local import lifecycle
from pipelines.local.addresses import Record
from pipelines.local.processes import Process
from pipelines.local.workspace import Workspace


def test_no_process_worker_is_started_for_a_pool_of_kubernetes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = {"http://p/api/work_pools/elp-gpu": "kubernetes", "http://p/api/work_pools/elp-cpu": "process"}
    monkeypatch.setattr(lifecycle, "prefect_request", lambda url, **_: {"type": types[url]})
    started = []

    def start(name: str, *_: Any) -> Process:
        started.append(name)
        return Process(name, os.getpid(), 0.0, "log")

    monkeypatch.setattr(lifecycle, "start", start)
    lines: list[str] = []
    lifecycle._start_workers(workspace, Record(), [], "http://p/api", lines.append)
    assert started == ["elp-cpu"]
    assert "elp-gpu is a pool of type kubernetes: its runs are started by a worker of that type, not here" in lines


def test_a_pool_that_cannot_be_asked_for_has_a_process_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(lifecycle, "prefect_request", refuse)
    assert lifecycle._other_type("http://p/api", "elp-gpu") == ""
