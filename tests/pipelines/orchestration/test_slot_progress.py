from __future__ import annotations

import concurrent.futures
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, StateType

from pipelines.orchestration import progress_artifact, slot_progress
from pipelines.orchestration.slot_progress import slots_at_work, wait_for_slots

PARENT = UUID(int=1)


class Client:
    """Stands for Prefect's client: runs of slots, the step that some of them have published, and what was sent."""

    def __init__(self, *slots: str) -> None:
        self.runs = [FlowRun(id=UUID(int=n), flow_id=PARENT, parameters={"slot": slot}) for n, slot in enumerate(slots)]
        self.steps: dict[UUID, str] = {}
        self.lines: list[str] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_flow_runs(self, flow_run_filter: Any, **_: Any) -> list[FlowRun]:
        assert flow_run_filter.parent_flow_run_id.any_ == [PARENT]
        assert flow_run_filter.state.type.any_ == [StateType.RUNNING]
        return self.runs

    def read_artifacts(self, artifact_filter: Any, **_: Any) -> list[Any]:
        (run,) = artifact_filter.flow_run_id.any_
        return [SimpleNamespace(data=25.0, description=self.steps[run])] if run in self.steps else []

    def create_artifact(self, made: Any) -> Any:
        self.lines.append(made.description)
        return SimpleNamespace(id=UUID(int=7))

    def update_artifact(self, artifact: UUID, change: Any) -> None:
        self.lines.append(change.description)


class Future:
    """Stands for Prefect's future of the run of a slot."""

    def __init__(self) -> None:
        self.inner: concurrent.futures.Future[str] = concurrent.futures.Future()

    def add_done_callback(self, call: Any) -> None:
        self.inner.add_done_callback(lambda _: call(self))


def test_the_present_steps_of_two_slots_are_named_and_the_others_counted() -> None:
    client: Any = Client("a/asr", "b/asr", "c/asr", "d/asr")
    client.steps[UUID(int=0)] = "training: 120/480 steps, 8.2/s"
    assert slots_at_work(client, str(PARENT)) == (
        "a/asr training: 120/480 steps, 8.2/s; b/asr began; 2 more slots at work"
    )
    client.runs.clear()
    assert slots_at_work(client, str(PARENT)) == ""


def test_it_waits_for_all_even_failed_ones_and_publishes_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    client, futures = Client("b/asr"), [Future() for _ in range(3)]
    monkeypatch.setattr("prefect.get_client", lambda **_: client)
    monkeypatch.setattr("prefect.runtime.flow_run.get_id", lambda: str(PARENT))
    monkeypatch.setattr(progress_artifact, "_EVERY", 0.02)
    monkeypatch.setattr(slot_progress, "_EVERY", 0.05)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait_for_slots, futures)
        futures[0].inner.set_exception(RuntimeError("the run could not be started"))
        futures[1].inner.set_result("")
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        futures[2].inner.set_result("")
        waiting.result(60)
    assert any(line.startswith("retrain: 2/3 slots") and line.endswith("b/asr began") for line in client.lines)
    assert client.lines[-1].startswith("retrain: 3/3 slots")


def test_no_slot_is_nothing_to_wait_for() -> None:
    wait_for_slots([])
