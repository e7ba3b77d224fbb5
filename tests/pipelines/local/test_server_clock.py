"""Prefect's server runs on another machine, whose clock is an hour ahead or behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.local import service_status
from pipelines.local.addresses import Record
from pipelines.local.gpu_need import unserved_runs
from pipelines.local.processes import Process
from tests.support.pretended_prefect import answering


class Server:
    """Answers about one worker, which has reported `silent` seconds ago, and one run, which is due now."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead
        self.silent = 0.0
        self.api = ""

    @property
    def now(self) -> float:
        return time.time() + self.ahead

    def answer(self, path: str, _: object, body: Any) -> tuple[int, Any]:
        if path.endswith("/workers/filter"):
            at = datetime.fromtimestamp(self.now - self.silent, UTC).isoformat()
            return 200, [{"name": "here", "status": "ONLINE", "last_heartbeat_time": at}]
        if path.endswith("/queues/filter"):
            return 200, [{"name": "gpu-80", "status": "NOT_READY"}]
        if path.endswith("/count"):
            due = body["flow_runs"].get("expected_start_time")
            # the second may not be over
            return 200, int(not due or abs(datetime.fromisoformat(due["before_"]).timestamp() - self.now) < 10)
        return 200, True


@pytest.fixture(params=[-3600.0, 3600.0])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    with answering(server.answer, lambda: server.ahead) as server.api:
        yield server


def test_a_worker_has_reported_if_its_heartbeat_is_younger_than_its_process(server: Server) -> None:
    worker = Process("elp-gpu", os.getpid(), time.time() - 20, "log")
    server.silent = 5.0
    assert service_status.has_reported(server.api, worker, "here")
    assert not service_status.has_reported(server.api, worker, "another")
    # of the worker of an earlier start, which had the same name
    server.silent = 25.0
    assert not service_status.has_reported(server.api, worker, "here")


def test_the_age_of_the_last_heartbeat_is_right(server: Server) -> None:
    server.silent = 7.0
    found = service_status._pool(Record(), "elp-gpu", server.api, "")
    assert any(f"last heartbeat {age} s ago" in found.detail for age in (6, 7, 8)), found.detail


def test_a_run_that_is_due_and_that_no_worker_can_carry_is_counted(server: Server) -> None:
    assert unserved_runs(server.api, "elp-gpu") == {"gpu-80": 1}
