"""Prefect's server runs on another machine, whose clock is an hour ahead or behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import prefect.deployments
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.local.workspace import Workspace
from pipelines.orchestration import prefect_api, schedule_list
from pipelines.orchestration.alerts.operation_alerts import report
from pipelines.orchestration.retrain_request import _event
from pipelines.orchestration.slot_deployments import DeploymentSchedule, SlotDeployment
from pipelines.orchestration.tasks import retrain_in_own_run
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


def test_a_run_that_is_started_is_due_at_once(
    workspace: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's client sends the time of its own clock: the run would begin an hour later."""
    due: list[Any] = []

    def create(*_: Any, state: State[Any], **__: Any) -> FlowRun:
        due.append(state.state_details.scheduled_time)
        return FlowRun(flow_id=UUID(int=1))

    def run_deployment(*_: Any, scheduled_time: datetime, **__: Any) -> FlowRun:
        due.append(scheduled_time)
        return FlowRun(flow_id=UUID(int=1), state=State(type=StateType.COMPLETED))

    client: Any = SimpleNamespace(api_url=f"{server.api}/", create_flow_run_from_deployment=create)
    monkeypatch.setattr(prefect_api, "find_deployment", lambda *_: SimpleNamespace(id=UUID(int=2)))
    monkeypatch.setattr(prefect.deployments, "run_deployment", run_deployment)
    prefect_api.start_run(client, workspace, "train", {}, "train a/asr")
    with temporary_settings({PREFECT_API_URL: server.api}), disable_run_logger():
        retrain_in_own_run.fn("retrain/plant", "plant", ["a/asr"], "default")
    assert len(due) == 2
    for moment in due:
        assert timedelta(0) <= server.now - moment < timedelta(seconds=20)
