"""Dead runs are ended with their tasks and started again three times; what lives, or what a person ended, is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.local.interrupted_runs import STOPPED_BY_DOWN, STOPPED_WITH_SERVICE
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.lost_runs import SILENT
from pipelines.orchestration.reaper import GIVEN_UP, STARTS_AGAIN, Reaper, reap
from pipelines.outages import WAITS
from tests.support.pretended_prefect import PretendedPrefect, pretended_prefect

HERE = {"elp-gpu-local": 1}


class Rounds:
    """A reaper and its clock."""

    def __init__(self, workspace: Workspace, prefect: PretendedPrefect) -> None:
        self.prefect, self.now = prefect, 1000.0
        self.alerts: list[Alert] = []
        self.said: list[str] = []
        self.reaper = Reaper(workspace, ("elp", "plant"), self.alerts.append, self.said.append)

    def go(self, seconds: float, each: Callable[[int], Any] = lambda _: None) -> None:
        for number in range(int(seconds // 5)):
            each(number)
            reap(self.reaper, self.prefect.api, HERE, self.now)
            self.now += 5.0

    def types(self, run: str) -> list[str]:
        return [state["type"] for state in self.prefect.states[run]]


@pytest.fixture
def rounds(workspace: Workspace) -> Iterator[Rounds]:
    with pretended_prefect() as prefect:
        made = Rounds(workspace, prefect)
        made.go(5)
        yield made


def test_a_run_without_a_process_is_ended_with_its_tasks_and_started_again(rounds: Rounds) -> None:
    rounds.prefect.add("a", "RUNNING", "elp-gpu-local", infrastructure_pid="4194303")
    rounds.prefect.tasks = {
        "open": {"id": "open", "run": "a", "state_type": "RUNNING"},
        "done": {"id": "done", "run": "a", "state_type": "COMPLETED"},
    }
    rounds.go(35)
    assert rounds.types("a") == ["RUNNING", "CRASHED", "SCHEDULED"]
    again = rounds.prefect.runs["a"]["state"]
    assert again["name"] == "AwaitingRetry"
    assert "state_details" not in again, "Prefect takes the present moment of its own clock"
    assert {name: task["state_type"] for name, task in rounds.prefect.tasks.items()} == {
        "open": "CRASHED",
        "done": "COMPLETED",
    }
    assert [(alert.event, alert.slot) for alert in rounds.alerts] == [("elp.fault.healed", "plant-a/asr")]


def test_all_task_runs_of_a_run_over_many_slots_are_closed(rounds: Rounds) -> None:
    rounds.prefect.add("a", "RUNNING", "elp-gpu-local", infrastructure_pid="4194303")
    rounds.prefect.tasks = {name: {"id": name, "run": "a", "state_type": "RUNNING"} for name in map(str, range(601))}
    rounds.go(35)
    assert {task["state_type"] for task in rounds.prefect.tasks.values()} == {"CRASHED"}


def test_a_run_of_a_silent_machine_is_started_again_within_two_minutes(rounds: Rounds) -> None:
    rounds.prefect.add("a", "RUNNING")
    rounds.prefect.workers["line-4"] = "12:00"
    rounds.prefect.heartbeats.append(("a", "beat-1"))
    rounds.go(SILENT - 5)
    assert rounds.types("a") == ["RUNNING"]
    rounds.go(120 - SILENT)
    assert rounds.types("a") == ["RUNNING", "CRASHED", "SCHEDULED"]
    assert [alert.event for alert in rounds.alerts] == ["elp.worker.lost", "elp.fault.healed"]
    assert "line-4" in rounds.alerts[0].what


@pytest.mark.parametrize("runs", [0, 2])
def test_a_lost_worker_is_reported_once_with_runs_or_without(rounds: Rounds, runs: int) -> None:
    rounds.prefect.workers["line-4"] = "12:00"
    for number in range(runs):
        rounds.prefect.add(f"r{number}", "RUNNING")
    rounds.go(SILENT + 60)
    assert [alert.event for alert in rounds.alerts] == ["elp.worker.lost", *["elp.fault.healed"] * runs]


@pytest.mark.parametrize("sign", ["worker", "run"])
def test_one_of_both_that_reports_is_enough(rounds: Rounds, sign: str) -> None:
    rounds.prefect.add("a", "RUNNING")

    def report(number: int) -> None:
        if sign == "worker":
            rounds.prefect.workers["line-4"] = str(number // 12)
        else:
            rounds.prefect.heartbeats.append(("a", f"beat-{number // 12}"))

    rounds.go(1800, report)
    assert rounds.types("a") == ["RUNNING"]


def test_a_server_that_was_away_gives_everybody_time(rounds: Rounds) -> None:
    rounds.prefect.add("a", "RUNNING")
    rounds.go(SILENT - 5)
    rounds.prefect.away = True
    for _ in range(3):
        with pytest.raises(OSError, match="503"):
            rounds.go(5)
        rounds.now += 25.0
    rounds.prefect.away = False
    rounds.go(SILENT - 5)
    assert rounds.types("a") == ["RUNNING"]
    rounds.go(15)
    assert rounds.types("a")[1] == "CRASHED"


@pytest.mark.parametrize("others", [20, 49])
def test_many_runs_on_other_machines_hide_no_dead_one(rounds: Rounds, others: int) -> None:
    for number in range(others):
        rounds.prefect.add(f"r{number}", "RUNNING", f"line-{number}")
    rounds.prefect.add("dead", "RUNNING", "line-dead")
    rounds.prefect.heartbeats.append(("dead", "last"))

    def beat(number: int) -> None:
        rounds.prefect.heartbeats += [(f"r{each}", f"b{number}") for each in range(others) if each % 6 == number % 6]

    rounds.go(SILENT + 15, beat)
    assert rounds.types("dead")[1:2] == ["CRASHED"]
    assert {state for each in range(others) for state in rounds.types(f"r{each}")} == {"RUNNING"}


def test_a_machine_whose_clock_is_ahead_hides_no_living_run(rounds: Rounds) -> None:
    for number in range(40):
        rounds.prefect.add(f"r{number}", "RUNNING", "line-1")
    # its worker hangs, so that its own heartbeats are the only sign
    rounds.prefect.add("alive", "RUNNING", "line-2")

    def beat(number: int) -> None:
        rounds.prefect.workers["line-1"] = str(number)
        # older than all of the other machine, by the clocks of both
        rounds.prefect.heartbeats.insert(number, ("alive", f"b{number}"))
        rounds.prefect.heartbeats += [(f"r{each}", f"b{number}") for each in range(40)]

    rounds.go(SILENT + 15, beat)
    assert rounds.types("alive") == ["RUNNING"]


def test_a_crash_loop_ends_and_says_so(rounds: Rounds) -> None:
    rounds.prefect.add("a", "CRASHED")
    for _ in range(STARTS_AGAIN + 2):
        rounds.go(20)
        if rounds.prefect.runs["a"]["state_type"] == "SCHEDULED":
            rounds.prefect.set("a", {"type": "RUNNING"})
            rounds.prefect.set("a", {"type": "CRASHED"})
    assert rounds.types("a").count("SCHEDULED") == STARTS_AGAIN
    assert rounds.prefect.runs["a"]["state"]["message"] == GIVEN_UP
    states = len(rounds.types("a"))
    rounds.go(60)
    assert len(rounds.types("a")) == states


@pytest.mark.parametrize(
    ("message", "again"), [(STOPPED_BY_DOWN, False), (STOPPED_WITH_SERVICE, True), ("process ended", True)]
)
def test_only_what_elp_down_ended_waits_for_a_person(rounds: Rounds, message: str, again: bool) -> None:
    rounds.prefect.add("a", "RUNNING")
    rounds.prefect.set("a", {"type": "CRASHED", "message": message})
    rounds.go(30)
    assert (rounds.types("a")[-1] == "SCHEDULED") is again


def test_a_second_report_of_the_same_crash_comes_before_the_new_start(rounds: Rounds) -> None:
    rounds.prefect.add("a", "CRASHED")
    rounds.go(5)
    rounds.prefect.set("a", {"type": "CRASHED", "message": "the worker's second report"})
    rounds.go(5)
    assert rounds.types("a") == ["CRASHED", "CRASHED"]
    rounds.go(15)
    assert rounds.types("a") == ["CRASHED", "CRASHED", "SCHEDULED"]


def test_what_had_crashed_before_the_first_round_is_left_alone(workspace: Workspace) -> None:
    with pretended_prefect() as prefect:
        prefect.add("old", "CRASHED")
        rounds = Rounds(workspace, prefect)
        rounds.go(30)
        assert rounds.types("old") == ["CRASHED"]
        # the supervision was away when this one crashed
        prefect.add("new", "CRASHED")
        rounds = Rounds(workspace, prefect)
        rounds.go(30)
        assert (rounds.types("old"), rounds.types("new")) == (["CRASHED"], ["CRASHED", "SCHEDULED"])


def test_runs_of_other_workspaces_and_without_a_deployment_are_left_alone(rounds: Rounds) -> None:
    rounds.prefect.add("other", "RUNNING", tags=["elp", "plant-2"])
    rounds.prefect.add("other-crashed", "CRASHED", tags=["elp", "plant-2"])
    rounds.prefect.add("by-hand", "CRASHED", deployment_id=None)
    rounds.go(300)
    assert [len(rounds.types(run)) for run in ("other", "other-crashed", "by-hand")] == [1, 1, 1]


def test_a_run_that_was_to_be_cancelled_is_cancelled(rounds: Rounds) -> None:
    rounds.prefect.add("a", "CANCELLING", "elp-gpu-local")
    rounds.go(60)
    assert rounds.types("a") == ["CANCELLING", "CANCELLED"]


def test_a_crash_that_is_reported_after_the_request_to_cancel_changes_nothing(rounds: Rounds) -> None:
    rounds.prefect.add("a", "RUNNING", "elp-gpu-local")
    rounds.prefect.set("a", {"type": "CANCELLING"})
    rounds.prefect.set("a", {"type": "CRASHED", "message": "process ended"})
    rounds.go(60)
    assert rounds.types("a") == ["RUNNING", "CANCELLING", "CRASHED", "CANCELLED"]


def test_a_run_that_a_person_started_again_after_a_cancel_is_started_again_after_a_crash(rounds: Rounds) -> None:
    rounds.prefect.add("a", "CANCELLED")
    for state in ("SCHEDULED", "RUNNING", "CRASHED"):
        rounds.prefect.set("a", {"type": state})
    rounds.go(30)
    assert rounds.types("a")[-1] == "SCHEDULED"


def test_a_request_to_cancel_between_the_look_and_the_new_start_wins(rounds: Rounds, monkeypatch) -> None:
    rounds.prefect.add("a", "CRASHED")
    real = rounds.prefect.answer

    def late(path: str, query: Any, body: Any) -> Any:
        if path.endswith("/flow_runs/a/set_state") and body["state"]["type"] == "SCHEDULED":
            rounds.prefect.set("a", {"type": "CANCELLED"})
        return real(path, query, body)

    monkeypatch.setattr(rounds.prefect, "answer", late)
    rounds.go(60)
    assert rounds.types("a") == ["CRASHED", "CANCELLED", "SCHEDULED", "CANCELLED"]
    assert not rounds.alerts, "nothing was healed"


def test_a_run_that_meets_an_outage_again_and_again_is_reported_once(rounds: Rounds) -> None:
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": f"{WAITS}no MLflow server answers"}
    for name, count in (("short", 2), ("long", 4), ("turn", 9)):
        rounds.prefect.add(name, "RUNNING", run_count=count)
        rounds.prefect.set(name, state if name != "turn" else {**state, "message": "waits: the run x is in progress"})
    rounds.go(60)
    (alert,) = rounds.alerts
    assert (alert.event, alert.slot, alert.reason) == ("elp.run.waits", "plant-a/asr", "no MLflow server answers")
    assert "retrain long waits for a server" in alert.what


def test_a_run_that_never_began_is_put_back(rounds: Rounds) -> None:
    rounds.prefect.add("claimed", "PENDING", "elp-gpu-local")
    rounds.prefect.add("afar", "PENDING")
    rounds.go(120)
    assert rounds.types("claimed") == rounds.types("afar") == ["PENDING", "SCHEDULED"]


def test_a_run_that_changes_between_the_look_and_the_act_is_left_alone(rounds: Rounds, monkeypatch) -> None:
    rounds.prefect.add("a", "RUNNING", "elp-gpu-local")
    real = rounds.prefect.answer

    def late(path: str, query: Any, body: Any) -> Any:
        if path.endswith("/flow_runs/a") and rounds.prefect.runs["a"]["state_type"] == "RUNNING":
            rounds.prefect.set("a", {"type": "COMPLETED"})
        return real(path, query, body)

    monkeypatch.setattr(rounds.prefect, "answer", late)
    rounds.go(60)
    assert rounds.types("a") == ["RUNNING", "COMPLETED"]


def test_two_reapers_do_what_one_does(rounds: Rounds, workspace: Workspace) -> None:
    second = Rounds(workspace, rounds.prefect)
    rounds.prefect.add("a", "RUNNING", "elp-gpu-local")
    for _ in range(8):
        rounds.go(5)
        second.go(5)
    assert rounds.types("a") == ["RUNNING", "CRASHED", "SCHEDULED"]


def test_one_run_that_prefect_refuses_does_not_hold_up_the_others(rounds: Rounds, monkeypatch) -> None:
    real = rounds.prefect.answer
    monkeypatch.setattr(
        rounds.prefect,
        "answer",
        lambda path, query, body: None if "/flow_runs/bad" in path else real(path, query, body),
    )
    for name in ("bad", "good"):
        rounds.prefect.add(name, "CRASHED")
    rounds.go(10)
    for _ in range(2):
        with pytest.raises(OSError, match="404"):
            rounds.go(5)
        rounds.now += 5
    assert (rounds.types("bad"), rounds.types("good")) == (["CRASHED"], ["CRASHED", "SCHEDULED"])


@pytest.mark.parametrize(("seconds", "last"), [(5, "SCHEDULED"), (50, "SCHEDULED"), (70, "CRASHED")])
@pytest.mark.parametrize("text", ["", "{", None])
def test_a_run_that_crashed_just_before_the_first_look_is_started_again(
    workspace: Workspace, seconds: float, last: str, text: str | None
) -> None:
    record = workspace.state / "recovery.json"
    if text is not None:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(text)
    with pretended_prefect() as prefect:
        rounds = Rounds(workspace, prefect)
        prefect.add("a", "RUNNING")
        at = datetime.now(UTC) - timedelta(seconds=seconds)
        prefect.set("a", {"type": "CRASHED", "timestamp": at.isoformat()})
        rounds.go(30)
        assert rounds.types("a")[-1] == last


def test_an_old_crash_that_comes_into_view_is_history(rounds: Rounds) -> None:
    rounds.prefect.add("seen", "CRASHED")
    rounds.go(30)
    rounds.prefect.set(
        "seen", {"type": "CRASHED", "message": STOPPED_BY_DOWN, "timestamp": "2026-02-02T00:00:00+00:00"}
    )
    rounds.go(30)
    # Prefect answers with 200 runs: it was behind them
    rounds.prefect.add("old", "RUNNING")
    rounds.prefect.set("old", {"type": "CRASHED", "timestamp": "2025-01-01T00:00:00+00:00"})
    rounds.go(60)
    assert rounds.types("old") == ["RUNNING", "CRASHED"]


def test_a_new_crash_after_the_clock_was_set_back_is_no_history(rounds: Rounds) -> None:
    now = datetime.now(UTC)
    rounds.prefect.add("seen", "RUNNING")
    later = (now + timedelta(hours=1)).isoformat()
    rounds.prefect.set("seen", {"type": "CRASHED", "message": STOPPED_BY_DOWN, "timestamp": later})
    rounds.go(30)
    rounds.prefect.add("new", "RUNNING")
    rounds.prefect.set("new", {"type": "CRASHED", "timestamp": now.isoformat()})
    rounds.go(30)
    assert (rounds.types("seen")[-1], rounds.types("new")[-1]) == ("CRASHED", "SCHEDULED")
