"""Prefect's server runs on another machine, whose clock is an hour ahead or behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.local.workspace import Workspace
from pipelines.orchestration import schedule_list
from pipelines.orchestration.alerts.operation_alerts import report
from pipelines.orchestration.retrain_request import _event
from pipelines.orchestration.slot_deployments import DeploymentSchedule, SlotDeployment
from pipelines.registry.slot import Slot
from tests.support.pretended_prefect import answering


@dataclass
class Server:
    """Takes events, and has no run."""

    ahead: timedelta
    api: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def answer(self, path: str, _: object, body: Any) -> tuple[int, Any]:
        if path.endswith("/events"):
            self.events += body
        return 200, []


@pytest.fixture(params=[-1, 1])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(timedelta(hours=request.param))
    with answering(server.answer, server.ahead.total_seconds) as server.api:
        yield server


def test_our_events_occur_by_the_clock_of_the_server(workspace: Workspace, server: Server) -> None:
    report(workspace, server.api, "elp.disk.low", "1", subject="/data")
    server.events.append(_event(workspace, server.api, Slot("a", "asr"), "d", ["the audio has changed"], ""))
    for event in server.events:
        assert abs(datetime.fromisoformat(event["occurred"]) - server.now) < timedelta(seconds=20), event["event"]
    assert [event["event"] for event in server.events] == ["elp.disk.low", "elp.retrain.wanted"]


def test_the_next_run_of_a_schedule_is_the_next_by_the_clock_of_the_server(
    workspace: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tuple(server.now.replace(microsecond=0) + timedelta(minutes=minutes) for minutes in (-30, 30))
    planned = DeploymentSchedule("s", True, "elp-nightly", "", "UTC", starts)
    deployment = SlotDeployment("d", "plant-a-asr", "a/asr", False, (planned,))
    monkeypatch.setattr(schedule_list, "read_slot_deployments", lambda *_: [deployment])
    (found,) = schedule_list.read_schedules(workspace, server.api)
    assert datetime.fromisoformat(found.next_run) == starts[1]
