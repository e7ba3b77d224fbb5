"""A run is reported as overdue if it is still late: an automation fires on one that was ended or deleted, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert_channels import Channel
from pipelines.orchestration.alerts.alert_state import AlertState, read_firings
from tests.support.pretended_prefect import answering

CHANNELS = {"hook": Channel("hook", "webhook", url="http://127.0.0.1:9/x")}
STATES = {
    "waits": ("Late", "late waits"),
    "missed": ("Missed", "the supervision has ended it"),
    "begun": ("Running", "a worker has it"),
    "late again": ("Late", "it was put back to its queue; another automation's time runs"),
}
"""Run -> name and id of its present state; the run `deleted` has none."""


class Prefect:
    """Has fired the automation of overdue runs for each run."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.read: list[tuple[float, float]] = []
        """Begin and end of the times whose events were read."""
        self.ahead = 0.0

    def answer(self, path: str, query: Any, body: Any) -> tuple[int, Any]:
        self.asked.append(path)
        if path.endswith("/health"):
            return 200, True
        if path.endswith("/automations/filter"):
            return 200, []
        if path.endswith("/events/filter"):
            occurred = body["filter"]["occurred"]
            self.read.append(tuple(datetime.fromisoformat(occurred[key]).timestamp() for key in ("since", "until")))
            of_automations = body["filter"]["event"]["name"] == ["prefect.automation.triggered"]
            return 200, {"events": [_firing(run) for run in (*STATES, "deleted")] if of_automations else []}
        wanted = body["flow_runs"]["state"]["name"]["any_"]
        return 200, [{"state": {"id": id_}} for name, id_ in STATES.values() if name in wanted]


def _firing(run: str) -> dict[str, Any]:
    late = {"id": f"late {run}", "event": "prefect.flow-run.Late", "occurred": "2026-11-28T10:00:00Z"}
    return {"id": f"firing {run}", "payload": {"triggering_event": {**late, "resource": {}, "related": []}}}


@pytest.fixture
def prefect() -> Iterator[tuple[Prefect, str]]:
    made = Prefect()
    with answering(made.answer, lambda: made.ahead) as api:
        yield made, api


def test_a_late_run_that_was_ended_begun_or_deleted_is_not_overdue(
    tmp_path: Path, prefect: tuple[Prefect, str]
) -> None:
    workspace, now = Workspace(tmp_path, Settings()), time.time()
    state = read_firings(workspace, AlertState(now, now), CHANNELS, prefect[1], now)
    assert [entry.alert.id for entry in state.queues["hook"].waiting] == ["late waits"]
    # the firings are read again, the runs are not
    assert read_firings(workspace, state, CHANNELS, prefect[1], now + 5).queues == state.queues
    assert [path for path in prefect[0].asked if "flow_runs" in path] == ["/api/flow_runs/filter"]


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_events_are_read_by_the_clock_of_the_server(tmp_path: Path, prefect: tuple[Prefect, str], ahead: float) -> None:
    server, api = prefect
    workspace, now = Workspace(tmp_path, Settings()), time.time()
    # the alerts began a minute ago
    state = AlertState(now - 60, now - 60)
    for later in (0, 1200, 1240):
        server.ahead = ahead + later
        state = read_firings(workspace, state, CHANNELS, api, now + later)
    # of the firings and of the events that fired on no automation
    assert [round(begin - now - ahead, -1) for begin, _ in server.read[::2]] == [-60, -60, 600]
    assert [round(end - now - ahead, -1) for _, end in server.read[::2]] == [0, 1200, 1240]
