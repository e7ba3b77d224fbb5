"""A run waits for an outage in its queue, for longer each time and not for ever; for another fault it never waits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.exceptions import Pause
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.errors import DataRefused, DiskFull, RemoteAway, ServiceError
from pipelines.orchestration import outage_turn, send_back
from pipelines.outages import WAITS
from tests.support.pretended_prefect import PretendedPrefect, pretended_prefect

RUN = str(UUID(int=7))
AWAY = RemoteAway("no MLflow server answers")


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedPrefect]:
    with pretended_prefect() as made, temporary_settings({PREFECT_API_URL: made.api}):
        run = SimpleNamespace(get_id=lambda: RUN)
        for module in (outage_turn, send_back):
            monkeypatch.setattr(module, "flow_run", run)
        monkeypatch.setattr(outage_turn, "deployment", SimpleNamespace(id="d"))
        monkeypatch.setattr(outage_turn, "get_run_logger", lambda: logging.getLogger("run"))
        made.add(RUN, "RUNNING")
        yield made


def _wait(prefect: PretendedPrefect, error: Exception) -> dict[str, Any]:
    with pytest.raises(Pause):
        outage_turn.wait_for_outage(error)
    state: dict[str, Any] = prefect.runs[RUN]["state"]
    # the server stamps it
    state["timestamp"] = datetime.now(UTC).isoformat()
    return state


def _pause(state: dict[str, Any]) -> float:
    return (datetime.fromisoformat(state["state_details"]["scheduled_time"]) - datetime.now(UTC)).total_seconds()


def test_an_outage_sends_the_run_back_with_growing_pauses_and_its_reason(prefect: PretendedPrefect) -> None:
    pauses = []
    for _ in range(5):
        state = _wait(prefect, AWAY)
        assert (state["type"], state["name"]) == ("SCHEDULED", "AwaitingRetry")
        assert state["message"] == f"{WAITS}{AWAY}"
        pauses.append(round(_pause(state), -1))
    assert pauses == [10, 20, 40, 60, 60]


@pytest.mark.parametrize("error", [ServiceError("it needs a login"), DataRefused("a/asr", ["bad"]), ValueError("x")])
def test_another_fault_does_not(prefect: PretendedPrefect, error: Exception) -> None:
    outage_turn.wait_for_outage(error)
    assert [state["type"] for state in prefect.states[RUN]] == ["RUNNING"]


def test_a_full_disk_does(prefect: PretendedPrefect) -> None:
    assert _wait(prefect, DiskFull("the disk of /site is full"))["message"].endswith("the disk of /site is full")


def test_a_run_without_a_queue_fails(prefect: PretendedPrefect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage_turn, "deployment", SimpleNamespace(id=None))
    outage_turn.wait_for_outage(AWAY)
    assert [state["type"] for state in prefect.states[RUN]] == ["RUNNING"]


def test_a_run_that_has_waited_for_days_fails(prefect: PretendedPrefect) -> None:
    begin = datetime.now(UTC) - outage_turn.LONGEST - timedelta(minutes=1)
    while begin < datetime.now(UTC):
        prefect.set(RUN, {"type": "SCHEDULED", "message": f"{WAITS}x", "timestamp": begin.isoformat()})
        begin += timedelta(minutes=30)
    outage_turn.wait_for_outage(AWAY)


def test_an_hour_of_work_ends_an_outage() -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def state(hours: float, message: str = f"{WAITS}x") -> dict[str, str]:
        return {"message": message, "timestamp": (now - timedelta(hours=hours)).isoformat()}

    states = [state(9), state(8.5), state(0.9), state(0.5, "started again"), state(0.2)]
    assert outage_turn.waits_of_outage(states, now) == [now - timedelta(hours=hours) for hours in (0.9, 0.2)]
    assert outage_turn.waits_of_outage([state(3), state(2)], now) == []


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_pauses_are_those_of_the_servers_clock(prefect: PretendedPrefect, ahead: float) -> None:
    prefect.ahead = ahead
    pauses = []
    for _ in range(3):
        state = _wait(prefect, AWAY)
        pauses.append(round(_pause(state) - ahead, -1))
        state["timestamp"] = (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat()
    assert pauses == [10, 20, 40]
