"""The supervision looks at the inboxes, and starts one run for what arrived."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.local.workspace import Workspace
from pipelines.orchestration import inbox_watch
from pipelines.orchestration.inbox_watch import START_PAUSES, Started, counts_file, watch_inboxes
from tests.support.inboxes import Intake, bare_workspace, drop


class Prefect:
    """Answers like Prefect's API; keeps the runs that it was asked for."""

    def __init__(self) -> None:
        self.busy = 0
        self.due: datetime | None = None
        """When the run of the slot is due; it is among the busy ones from then on."""
        self.ahead = timedelta(0)
        """So far its clock is ahead of this machine's."""
        self.slots = ("plant-a/asr",)
        self.asked: dict[str, Any] = {}

    def request(self, url: str, body: Any = None) -> Any:
        if url.endswith("/count"):
            assert body["flow_runs"]["tags"]["all_"][0] in self.slots
            before = datetime.fromisoformat(body["flow_runs"]["expected_start_time"]["before_"])
            return self.busy + bool(self.due and self.due < before)
        if "/deployments/name/" in url:
            return {"id": "d1"}
        assert url.endswith("/deployments/d1/create_flow_run")
        self.asked.setdefault(body["idempotency_key"], body)
        return {}

    def now(self, api: str) -> datetime:
        return (datetime.now(UTC) + self.ahead).replace(microsecond=0)


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    prefect = Prefect()
    monkeypatch.setattr(inbox_watch, "prefect_request", prefect.request)
    monkeypatch.setattr(inbox_watch, "server_now", prefect.now)
    return prefect


def _look(workspace: Workspace) -> inbox_watch.InboxCounts:
    return watch_inboxes(workspace, lambda: "http://prefect/api", lambda line: None)


def _arrive(workspace: Workspace, name: str = "monday") -> Path:
    return drop(workspace.root / "inbox/plant-a/asr", name, {"a.wav": name.encode()})


def test_by_default_a_look_counts_and_starts_nothing(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0)
    _arrive(workspace)
    drop(workspace.root / "inbox/plant-a/asr", "half", {"a.part": b""})
    drop(workspace.root / "inbox/not a slot/asr", "x", b"1")
    counts = _look(workspace)
    assert counts.slots == {"plant-a/asr": {"waiting": 1, "incomplete": 1}}
    assert json.loads(counts_file(workspace).read_text())["slots"] == counts.slots
    assert prefect.asked == {}


def test_a_complete_delivery_starts_one_run(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="retrain")
    _arrive(workspace)
    _look(workspace)
    _look(workspace)
    (asked,) = prefect.asked.values()
    assert (asked["name"], asked["parameters"]) == ("retrain plant-a/asr", {"slot": "plant-a/asr"})


@pytest.mark.parametrize(("flow", "queue"), [("retrain", "gpu-48"), ("ingest", None)])
def test_a_run_waits_in_the_queue_of_the_memory_that_it_needs(
    tmp_path: Path, prefect: Prefect, flow: str, queue: str | None
) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start=flow)
    settings = replace(workspace.settings, slots={"plant-a/asr": {"compute": {"gpu_memory": 30}}})
    _arrive(workspace)
    _look(Workspace(workspace.root, settings))
    (asked,) = prefect.asked.values()
    assert asked.get("work_queue_name") == queue


def test_a_slot_that_no_gpu_can_carry_does_not_hold_up_the_others(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="retrain")
    settings = replace(workspace.settings, slots={"plant-0/asr": {"compute": {"gpu_memory": 500}}})
    drop(workspace.root / "inbox/plant-0/asr", "huge", b"1")
    _arrive(workspace)
    prefect.slots = ("plant-0/asr", "plant-a/asr")
    said: list[str] = []
    watch_inboxes(Workspace(workspace.root, settings), lambda: "http://prefect/api", said.append)
    assert [run["parameters"]["slot"] for run in prefect.asked.values()] == ["plant-a/asr"]
    assert "plant-0/asr cannot be started" in said[0]


def test_one_that_can_only_be_refused_starts_one_run_which_reports_it(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="retrain")
    now = inbox_watch.time.time()
    monkeypatch.setattr(inbox_watch.time, "time", lambda: now)
    drop(workspace.root / "inbox/plant-a/asr", "monday", {"SHA256SUMS": b"0" * 64 + b" a.wav\n", "a.wav": b"1"})
    (workspace.root / "inbox/plant-a/asr/tuesday").symlink_to(tmp_path)
    for _ in range(3):
        assert _look(workspace).slots == {"plant-a/asr": {"refused": 2}}
    assert len(prefect.asked) == 1
    intake = Intake()
    intake.run(workspace)
    assert sorted(one.name for one in intake.reported) == ["monday", "tuesday"]
    # the refusals are recorded
    now += START_PAUSES[-1]
    _look(workspace)
    assert len(prefect.asked) == 1


def test_an_incomplete_one_starts_none(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path, stable=60.0, start="retrain")
    _arrive(workspace)
    _look(workspace)
    assert prefect.asked == {}


def test_none_is_started_next_to_another_run_of_the_slot(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="ingest")
    _arrive(workspace)
    prefect.busy = 1
    _look(workspace)
    assert prefect.asked == {}
    prefect.busy = 0
    _look(workspace)
    assert len(prefect.asked) == 1


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_run_is_due_by_the_clock_of_the_server(tmp_path: Path, prefect: Prefect, hours: int) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="ingest")
    _arrive(workspace)
    prefect.ahead = timedelta(hours=hours)
    prefect.due = datetime.now(UTC) + prefect.ahead
    _look(workspace)
    assert prefect.asked == {}
    # one that a schedule plans for later
    prefect.due += timedelta(minutes=30)
    _look(workspace)
    assert len(prefect.asked) == 1


def test_a_run_that_left_its_deliveries_is_started_again_after_a_pause(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="retrain")
    now = inbox_watch.time.time()
    monkeypatch.setattr(inbox_watch.time, "time", lambda: now)
    _arrive(workspace)
    _look(workspace)
    now += START_PAUSES[0] - 1
    _look(workspace)
    assert len(prefect.asked) == 1
    now += 1
    _look(workspace)
    assert len(prefect.asked) == 2
    # a further delivery does not wait for the pause
    _arrive(workspace, "tuesday")
    _look(workspace)
    assert len(prefect.asked) == 3


def test_the_same_delivery_again_starts_a_new_run(
    tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person moves it back, or the run that had claimed it failed; meanwhile others waited."""
    workspace = bare_workspace(tmp_path, stable=0.0, start="ingest")
    prefect.slots = ("plant-a/asr", "plant-b/asr")
    now = inbox_watch.time.time()
    monkeypatch.setattr(inbox_watch.time, "time", lambda: now)
    monday = _arrive(workspace)
    _look(workspace)
    monday.rename(tmp_path / "away")
    drop(workspace.root / "inbox/plant-b/asr", "other", b"1")
    _look(workspace)
    (tmp_path / "away").rename(monday)
    now += START_PAUSES[0]
    _look(workspace)
    assert [run["parameters"]["slot"] for run in prefect.asked.values()].count("plant-a/asr") == 2


def test_the_pauses_grow_and_end_at_an_hour() -> None:
    assert [Started("d", tries, 0.0).due("d", 3599.0) for tries in (1, 2, 3, 99)] == [True, True, False, False]
    assert Started("d", 99, 0.0).due("d", 3600.0)


def test_an_inbox_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path, prefect: Prefect) -> None:
    workspace = bare_workspace(tmp_path, stable=0.0, start="retrain")
    _arrive(workspace)
    settings = replace(workspace.settings, slots={"plant-b/asr": {"inbox": str(tmp_path / "gone")}})
    counts = _look(Workspace(workspace.root, settings))
    assert "does not exist on" in counts.faults["plant-b/asr"]
    assert counts.slots == {"plant-a/asr": {"waiting": 1}}
    assert len(prefect.asked) == 1
