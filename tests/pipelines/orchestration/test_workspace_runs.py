from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, Log, State, StateType

from pipelines.errors import ServiceError, UsageError
from pipelines.local.workspace import Workspace
from pipelines.orchestration import workspace_runs as runs
from pipelines.orchestration.prefect_api import read_run
from pipelines.orchestration.reaper import GIVEN_UP
from pipelines.registry.slot import Slot

FIRST, SECOND, THIRD = UUID("3f9a" + "0" * 28), UUID("3f9b" + "0" * 28), UUID("7c00" + "0" * 28)


class Client:
    """Stands for Prefect's client: keeps runs by id; a run that is cancelled ends `slow` reads later."""

    def __init__(self, *found: FlowRun, slow: int = 1) -> None:
        self.api_url = "http://prefect/api/"
        self.runs = {run.id: run for run in found}
        self.children: list[FlowRun] = []
        self.slow = slow
        self.messages: list[str | None] = []
        self.logged: list[str] = []
        self.before: datetime | None = None

    def read_flow_runs(self, **asked: Any) -> list[FlowRun]:
        if asked["flow_run_filter"].parent_flow_run_id:
            return self.children
        self.before = asked["flow_run_filter"].expected_start_time.before_
        return list(self.runs.values())[asked["offset"] :][: asked["limit"]]

    def read_flow_run(self, run_id: UUID) -> FlowRun:
        run = self.runs[run_id]
        assert run.state is not None
        if run.state.type is StateType.CANCELLING:
            self.slow -= 1
            if self.slow <= 0:
                run.state = State(type=StateType.CANCELLED)
        return run

    def set_flow_run_state(self, run_id: UUID, state: State[Any]) -> None:
        present = self.runs[run_id].state
        if state.type is StateType.CANCELLING and present and present.is_final():
            # Prefect's rule
            return
        self.messages.append(state.message)
        self.runs[run_id].state = state

    def create_logs(self, lines: list[Any]) -> None:
        self.logged += [line.message for line in lines]

    def read_logs(self, *_: Any, limit: int, offset: int, **__: Any) -> list[Log]:
        lines = [Log(name="x", level=20 + 10 * (n % 2), message=f"line {n}", timestamp=0) for n in range(250)]
        return lines[offset:][:limit]


@pytest.fixture(autouse=True)
def server_ahead(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """Prefect's clock is an hour ahead of this machine's."""
    ahead = timedelta(hours=1)
    monkeypatch.setattr(runs, "server_now", lambda api: (datetime.now(UTC) + ahead).replace(microsecond=0))
    return ahead


@pytest.fixture
def make(workspace: Workspace) -> Any:
    def run(run_id: UUID, name: str = "retrain a/asr", kind: StateType = StateType.RUNNING, **given: Any) -> FlowRun:
        parameters = {"workspace": str(workspace.root), "slot": "a/asr"} | given
        return FlowRun(id=run_id, name=name, flow_id=UUID(int=2), state=State(type=kind), parameters=parameters)

    return run


def test_the_runs_of_a_slot_are_those_that_name_it_in_this_workspace(workspace: Workspace, make) -> None:
    found = [make(FIRST), make(SECOND, slot="b/asv", also=["a/asr"]), make(THIRD, workspace="/other")]
    client: Any = Client(*found, make(UUID(int=4), slot="b/asv"))
    listed = [run.id for run in runs.workspace_runs(client, workspace, Slot("a", "asr"))]
    assert listed == [str(FIRST), str(SECOND)]
    assert len(list(runs.workspace_runs(client, workspace))) == 3


def test_runs_up_to_now_by_the_clock_of_the_server_are_listed(workspace: Workspace, server_ahead: timedelta) -> None:
    client: Any = Client()
    now = datetime.now(UTC) + server_ahead
    assert list(runs.workspace_runs(client, workspace)) == []
    # a run that was started in this second, too
    assert client.before
    assert timedelta(0) < client.before - now < timedelta(seconds=10)


def test_more_runs_than_a_page_are_all_read(workspace: Workspace, make) -> None:
    client: Any = Client(*(make(UUID(int=n)) for n in range(450)))
    assert len(list(runs.workspace_runs(client, workspace))) == 450


@pytest.mark.parametrize("word", ["3f9b", "3F9B", str(SECOND), "train b/asv"])
def test_a_run_is_found_by_a_part_of_its_id_or_by_its_name(workspace: Workspace, make, word: str) -> None:
    client: Any = Client(make(FIRST), make(SECOND, "train b/asv"), make(THIRD, "train b/asv"))
    assert runs.find_run(client, workspace, word).id == str(SECOND)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("3f9", r"'3f9' is the beginning of 2 ids \(3f9a000, 3f9b000 …\); give more digits"),
        ("ffff", r"no run of .* has the id or the name 'ffff'; list them with: elp runs"),
        ("", r"no run of .* has the id or the name ''"),
        ("%", r"no run of .* has the id or the name '%'"),
    ],
)
def test_a_word_that_names_no_single_run_is_refused(workspace: Workspace, make, word: str, sentence: str) -> None:
    client: Any = Client(make(FIRST), make(SECOND))
    with pytest.raises(UsageError, match=sentence):
        runs.find_run(client, workspace, word)


def test_the_log_has_every_line_with_its_level(make) -> None:
    client: Any = Client(make(FIRST))
    lines = runs.run_log(client, read_run(client, str(FIRST)))
    assert [line.text for line in lines] == [f"line {n}" for n in range(250)]
    assert {line.level for line in lines} == {"info", "warning"}
    assert lines[0].at.startswith("1970-01-01T00:00:00")


def test_a_cancelled_run_ends_with_the_runs_that_it_started(make) -> None:
    child, ended = make(SECOND), make(THIRD, kind=StateType.COMPLETED)
    client: Any = Client(make(FIRST), child, ended, slow=3)
    client.children = [child, ended]
    done = runs.cancel_run(client, read_run(client, str(FIRST)), "cancelled by ann: wrong data", every=0.0)
    assert [(run.id, run.state_type) for run in done] == [(str(FIRST), "CANCELLED"), (str(SECOND), "CANCELLED")]
    assert client.messages == client.logged == ["cancelled by ann: wrong data"] * 2


def test_a_run_that_has_ended_is_not_cancelled(make) -> None:
    client: Any = Client(make(FIRST, kind=StateType.COMPLETED))
    with pytest.raises(UsageError, match=r"retrain a/asr \(3f9a0000\) has ended already: Completed"):
        runs.cancel_run(client, read_run(client, str(FIRST)), "")


def test_a_run_that_has_just_crashed_is_cancelled_for_good(make) -> None:
    child, given_up = make(SECOND, kind=StateType.CRASHED), make(THIRD, kind=StateType.CRASHED)
    given_up.state.message = GIVEN_UP
    client: Any = Client(make(FIRST, kind=StateType.CRASHED), child, given_up)
    client.children = [child, given_up]
    done = runs.cancel_run(client, read_run(client, str(FIRST)), "cancelled by ann", every=0.0)
    assert [(run.id, run.state_type) for run in done] == [(str(FIRST), "CANCELLED"), (str(SECOND), "CANCELLED")]
    with pytest.raises(UsageError, match="has ended already: Crashed"):
        runs.cancel_run(client, read_run(client, str(THIRD)), "", every=0.0)


def test_a_run_that_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch, make) -> None:
    monkeypatch.setattr(runs, "_ENDS_WITHIN", -1.0)
    client: Any = Client(make(FIRST), slow=99)
    with pytest.raises(ServiceError, match="retrain a/asr does not end"):
        runs.cancel_run(client, read_run(client, str(FIRST)), "", every=0.0)
