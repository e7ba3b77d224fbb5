"""The figures of the operation, from a Prefect that answers like the real one: what ends is counted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ServiceError
from pipelines.local import git
from pipelines.local.supervision import Ends
from pipelines.local.workspace import Workspace
from pipelines.orchestration import operation_metrics, slot_deployments
from pipelines.orchestration.alerts import automations
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.operation_metrics import collect_figures, disk_is_low, watch_figures
from pipelines.orchestration.overdue_runs import OVERDUE
from pipelines.registry.operation_figures import FIGURES_FILE, OperationFigures, read_figures
from tests.support.inboxes import bare_workspace
from tests.support.scheduled_workspace import tag_slots

NOW = 1.8e9


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


class Prefect:
    """Answers filters with the runs that a test puts there."""

    def __init__(self) -> None:
        self.open: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.away = False
        self.ahead = 0.0
        """So many seconds its clock is ahead of this machine's."""

    def request(
        self, url: str, body: Mapping[str, Any], timeout: float = 0.0, method: str | None = None
    ) -> list[dict[str, Any]]:
        if self.away:
            raise ConnectionError("away")
        if url.endswith("/workers/filter"):
            return [{"status": "ONLINE"}, {"status": "OFFLINE"}]
        if url.endswith("/task_runs/filter"):
            rows = self.tasks
        else:
            rows = self.ended if "end_time" in body["flow_runs"] else self.open
        return rows[body["offset"] : body["offset"] + body["limit"]]

    def now(self, api: str) -> datetime:
        return datetime.fromtimestamp(operation_metrics.time.time() + self.ahead, UTC)


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    made = Prefect()
    for module in (operation_metrics, slot_deployments):
        monkeypatch.setattr(module, "prefect_request", made.request)
    monkeypatch.setattr(operation_metrics, "server_now", made.now)
    monkeypatch.setattr(operation_metrics.time, "time", lambda: NOW)
    return made


def _run(n: int, state: str, end: float = NOW, name: str = "retrain plant-a/asr") -> dict[str, Any]:
    parameters = {"slot": "plant-a/asr"}
    return {"id": f"r{n}", "state_type": state, "name": name, "end_time": _text(end), "parameters": parameters}


def _collect(workspace: Workspace, **ends: Ends) -> OperationFigures:
    return collect_figures(workspace, "http://prefect/api", ends)


def test_due_runs_are_counted_by_state_and_pool(tmp_path: Path, prefect: Prefect) -> None:
    due = {"name": "retrain", "parameters": {"slot": "plant-a/asr"}, "work_pool_name": "elp-gpu"}
    late = {"state": {"name": "Late", "timestamp": _text(NOW - 3900)}}
    prefect.open = [
        {**due, **late, "state_type": "SCHEDULED", "expected_start_time": _text(NOW - 4000)},
        {**due, "state_type": "PENDING", "expected_start_time": _text(NOW - 10)},
        {**due, "state_type": "RUNNING", "expected_start_time": _text(NOW - 9000)},
        {**due, "state_type": "SCHEDULED", "expected_start_time": _text(NOW - 10), "work_pool_name": "of a person"},
    ]
    found = _collect(bare_workspace(tmp_path))
    assert found.runs == {"scheduled": 2, "pending": 1, "running": 1}
    assert found.waiting == {"elp-gpu": 2, "elp-cpu": 0}
    assert found.oldest["elp-gpu"] == NOW - 4000
    assert (found.overdue, found.prefect) == (1, True)
    assert found.workers == {"elp-gpu": 1, "elp-cpu": 1}


@pytest.mark.parametrize(
    ("state", "since", "overdue"),
    [
        ("Late", OVERDUE, True),
        ("Late", OVERDUE - 1, False),
        ("AwaitingRetry", 9000, False),
        ("Scheduled", 9000, False),
        ("Pending", 9000, False),
        ("Running", 9000, False),
    ],
)
def test_the_metric_and_the_alert_have_one_rule(
    tmp_path: Path, prefect: Prefect, state: str, since: float, overdue: bool
) -> None:
    kind = state.upper() if state in ("Pending", "Running") else "SCHEDULED"
    run = {"name": "retrain", "parameters": {"slot": "plant-a/asr"}, "work_pool_name": "elp-gpu", "state_type": kind}
    run |= {"expected_start_time": _text(NOW - 9000), "state": {"name": state, "timestamp": _text(NOW - since)}}
    prefect.open = [run]
    workspace = bare_workspace(tmp_path)
    assert _collect(workspace).overdue == int(overdue)
    # the automation waits for the same time after the same state, until a state that ends it
    trigger = automations._trigger(workspace, "overdue", OVERDUE)
    assert (trigger.after, trigger.within.total_seconds()) == ({"prefect.flow-run.Late"}, OVERDUE)
    assert ("prefect.flow-run." + state in trigger.expect) == (state in ("Pending", "Running"))


def test_what_ended_is_counted_once_also_after_a_new_start(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = bare_workspace(tmp_path)
    _collect(workspace)
    prefect.ended = [_run(1, "COMPLETED", NOW + 5), _run(2, "FAILED", NOW + 6), _run(3, "COMPLETED", name="my own run")]
    prefect.tasks = [
        {"id": "t1", "name": "train plant-a/asr on v1", "end_time": _text(NOW + 4), "total_run_time": 30.0},
        {"id": "t2", "name": "latest dataset-0", "end_time": _text(NOW + 3), "total_run_time": 1.0},
        {"id": "t0", "name": "gate plant-a/asr", "end_time": _text(NOW - 9999), "total_run_time": 1.0},
    ]
    for later in (10.0, 40.0, 70.0, 400.0):
        monkeypatch.setattr(operation_metrics.time, "time", lambda later=later: NOW + later)
        found = _collect(workspace)
    assert found.ended == {"retrain": {"completed": 1, "failed": 1}, "other": {"completed": 1}}
    assert found.last_success == {"plant-a/asr": NOW + 5}
    assert {step: sum(one.counts) for step, one in found.durations.items()} == {"training": 1}
    # one that is stored late is counted, too
    prefect.ended = [_run(4, "COMPLETED", NOW + 300), *prefect.ended]
    assert _collect(workspace).ended["retrain"] == {"completed": 2, "failed": 1}
    kept = read_figures(workspace.state / FIGURES_FILE)
    assert kept is not None
    # others write to the disk meanwhile
    assert replace(_collect(workspace), disk_free=kept.disk_free) == kept


def test_a_crash_and_the_later_end_of_the_same_run_are_both_counted(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path)
    _collect(workspace)
    prefect.ended = [_run(1, "CRASHED", NOW + 5)]
    _collect(workspace)
    again = _run(1, "COMPLETED", NOW + 60)
    prefect.ended = [{**again, "parameters": {"slot": "plant-a/asr", "also": ["plant-b/asr"]}}]
    found = _collect(workspace)
    assert found.ended == {"retrain": {"crashed": 1, "completed": 1}}
    assert found.last_success == {"plant-a/asr": NOW + 60, "plant-b/asr": NOW + 60}


def test_more_than_one_page_of_runs_is_counted(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path)
    _collect(workspace)
    prefect.ended = [_run(n, "COMPLETED") for n in range(450)]
    assert _collect(workspace).ended == {"retrain": {"completed": 450}}


@pytest.mark.parametrize("rows", ["ended", "tasks"])
def test_what_moves_to_the_next_page_while_the_pages_are_read_is_counted_once(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch, rows: str
) -> None:
    workspace = bare_workspace(tmp_path)
    _collect(workspace)
    prefect.ended = [_run(n, "COMPLETED") for n in range(250)]
    prefect.tasks = [
        {"id": f"t{n}", "name": "train plant-a/asr", "end_time": _text(NOW), "total_run_time": 1.0} for n in range(250)
    ]

    def request(url: str, body: Mapping[str, Any], timeout: float = 0.0, method: str | None = None) -> Any:
        found = prefect.request(url, body, timeout, method)
        newest = getattr(prefect, rows)
        if found == newest[:200]:
            # one more ends
            newest.insert(0, {**newest[0], "id": "new"})
        return found

    monkeypatch.setattr(slot_deployments, "prefect_request", request)
    found = _collect(workspace)
    assert found.ended == {"retrain": {"completed": 250}}
    assert sum(found.durations["training"].counts) == 250


def test_after_the_clock_was_ahead_what_ends_is_counted(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = bare_workspace(tmp_path)
    monkeypatch.setattr(operation_metrics.time, "time", lambda: NOW + 86_400)
    _collect(workspace)
    for n, later in enumerate((0.0, 300.0, 600.0), 1):
        monkeypatch.setattr(operation_metrics.time, "time", lambda later=later: NOW + later)
        prefect.ended = [_run(n, "COMPLETED", NOW + later - 10), *prefect.ended]
        assert _collect(workspace).ended == {"retrain": {"completed": n}}


def test_after_the_clock_was_ahead_the_ends_of_processes_are_counted(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, counted = bare_workspace(tmp_path), []
    for now, times in ((86_400.0, (86_390.0,)), (0.0, ()), (30.0, (20.0,)), (60.0, (20.0, 50.0))):
        monkeypatch.setattr(operation_metrics.time, "time", lambda now=now: NOW + now)
        ends = Ends(1, tuple(NOW + at for at in times))
        counted.append(_collect(workspace, mlflow=ends).restarts["mlflow"])
    assert counted == [1, 1, 2, 3]


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_ends_are_counted_by_the_clock_of_the_server(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    workspace, prefect.ahead = bare_workspace(tmp_path), ahead
    for n, later in enumerate((0.0, 300.0, 600.0)):
        monkeypatch.setattr(operation_metrics.time, "time", lambda later=later: NOW + later)
        found = _collect(workspace)
        prefect.ended = [_run(n, "COMPLETED", NOW + ahead + later + 10), *prefect.ended]
    assert found.ended == {"retrain": {"completed": 2}}
    assert found.last_success == {"plant-a/asr": NOW + ahead + 310}


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_the_wait_of_the_oldest_run_does_not_depend_on_the_clock_of_the_server(
    tmp_path: Path, prefect: Prefect, ahead: float
) -> None:
    prefect.ahead = ahead
    run = {"name": "retrain", "parameters": {"slot": "plant-a/asr"}, "work_pool_name": "elp-gpu"}
    prefect.open = [run | {"state_type": "SCHEDULED", "expected_start_time": _text(NOW + ahead - 40)}]
    found = _collect(bare_workspace(tmp_path))
    assert found.at - found.oldest["elp-gpu"] == 40


def test_a_slot_that_the_workspace_has_no_more_has_no_last_success(workspace: Workspace, prefect: Prefect) -> None:
    tag_slots(workspace, ["plant-a/asr", "plant-b/asr"])
    (workspace.root / "inbox" / "plant-c" / "asr").mkdir(parents=True)
    _collect(workspace)
    also = ["plant-b/asr", "plant-c/asr"]
    prefect.ended = [{**_run(1, "COMPLETED", NOW + 5), "parameters": {"slot": "plant-a/asr", "also": also}}]
    assert set(_collect(workspace).last_success) == {"plant-a/asr", *also}
    git.git(workspace.root, "tag", "--delete", "data/plant-b/asr/v1")
    assert set(_collect(workspace).last_success) == {"plant-a/asr", "plant-c/asr"}
    # what cannot be read may be there
    (workspace.root / "elp.yaml").write_text("{")
    git.git(workspace.root, "tag", "--delete", "data/plant-a/asr/v1")
    assert set(_collect(workspace).last_success) == {"plant-a/asr", "plant-c/asr"}


def test_without_prefect_its_figures_stay_and_the_others_are_new(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path)
    prefect.open = [{"state_type": "RUNNING", "name": "x", "expected_start_time": _text(NOW), "parameters": {}}]
    _collect(workspace)
    prefect.away = True
    found = _collect(workspace, mlflow=Ends(7, (NOW - 9, NOW - 5)))
    assert (found.prefect, found.runs) == (False, {"running": 1})
    assert found.restarts == {"mlflow": 2}
    assert found.disk_size > 0
    assert _collect(workspace, mlflow=Ends(7, (NOW - 5, NOW - 1))).restarts == {"mlflow": 3}


def test_a_disk_that_is_almost_full_is_reported_once_a_day(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> str:
        raise ServiceError("Prefect is down")

    sent: list[Alert] = []
    reported: set[str] = set()
    monkeypatch.setattr(operation_metrics, "disk_is_low", lambda figures: True)
    for days in (0.0, 0.1, 1.0):
        monkeypatch.setattr(operation_metrics.time, "time", lambda days=days: NOW + 86_400 * days)
        watch_figures(bare_workspace(tmp_path), down, {}, reported, sent.append)
    assert [(one.event, one.kind) for one in sent] == [("elp.disk.low", "failed")] * 2
    assert "GiB are free" in sent[0].reason


def test_a_disk_is_low_below_five_percent_or_a_gibibyte() -> None:
    size = 100 * 2**30
    frees = (4 * 2**30, 6 * 2**30)
    assert [disk_is_low(OperationFigures(disk_free=free, disk_size=size)) for free in frees] == [True, False]
    assert disk_is_low(OperationFigures(disk_free=2**29, disk_size=2**31))
    assert not disk_is_low(OperationFigures())
