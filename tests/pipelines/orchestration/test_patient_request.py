"""A request to a Prefect server that is too busy to answer in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.orchestration import slot_deployments
from pipelines.orchestration.slot_deployments import (
    DeploymentSchedule,
    SlotDeployment,
    change_starts,
    patient_request,
    server_now,
)
from tests.support.pretended_prefect import answering


@contextmanager
def _late(silent: int) -> Iterator[str]:
    """A server that takes so many requests without an answer, and answers all others."""
    ended, taken = threading.Event(), list[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    taken.append(server.accept()[0])
                    if len(taken) > silent:
                        taken[-1].settimeout(5)
                        taken[-1].recv(65_536)
                        taken[-1].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/api"
        finally:
            ended.set()
            thread.join()
            for one in taken:
                one.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_deployments, "_PATIENCE", 0.3)


@pytest.mark.parametrize(
    ("route", "body", "repeatable"),
    [
        ("/deployments/", {}, True),
        ("/flow_runs/filter", {}, False),
        ("/flow_runs/count", {}, False),
        ("/x", None, False),
    ],
)
def test_a_request_that_may_be_done_twice_is_sent_again(route: str, body: object, repeatable: bool) -> None:
    with _late(1) as url:
        assert patient_request(url + route, body, repeatable=repeatable) == [1]


def test_any_other_request_is_sent_once() -> None:
    with _late(1) as url, pytest.raises(OSError, match="timed out"):
        patient_request(f"{url}/flow_runs/1/set_state", {})


def test_a_minute_without_an_answer_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_deployments, "_BUSY", 0.0)
    with _late(9) as url, pytest.raises(OSError, match="timed out"):
        patient_request(url, {}, repeatable=True)


def test_starts_are_planned_from_the_moment_of_the_server_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that is ahead, the starts of the time between would be lost."""
    monkeypatch.setattr(slot_deployments, "_PATIENCE", 30.0)
    sent: dict[str, Any] = {}
    with answering(lambda path, _, body: (200, sent.update({path: body})), lambda: -600.0) as api:
        schedule = DeploymentSchedule("s", True, "elp-nightly", "", "UTC", ())
        deployment = SlotDeployment("d", "plant-plant-a-asr", "plant-a/asr", False, (schedule,))
        change_starts(api, deployment, schedule, "nightly", [datetime(2030, 1, 1, tzinfo=UTC)])
        begun = datetime.fromisoformat(sent["/api/deployments/d/schedule"]["start_time"])
        assert timedelta(0) <= server_now(api) - begun < timedelta(seconds=20)
