from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest

from pipelines.orchestration import progress_artifact
from pipelines.orchestration.progress_artifact import published_progress, read_progress

RUN_ID = UUID(int=1)


class Client:
    """Stands for Prefect's client: keeps what was sent; fails if the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, float, str]] = []
        self.gone = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None: ...

    def create_artifact(self, made: Any) -> Any:
        if self.gone:
            raise httpx.ConnectError("refused")
        assert (made.type, made.flow_run_id) == ("progress", RUN_ID)
        self.sent.append(("new", made.data, made.description))
        return SimpleNamespace(id=UUID(int=7))

    def update_artifact(self, artifact: UUID, change: Any) -> None:
        assert artifact == UUID(int=7)
        self.sent.append(("update", change.data, change.description))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr("prefect.get_client", lambda **_: client)
    monkeypatch.setattr(progress_artifact, "_EVERY", 0.05)
    monkeypatch.setattr("prefect.runtime.flow_run.get_id", lambda: str(RUN_ID))
    return client


def _until(done: Any) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_step_publishes_one_artifact_and_ends_with_its_last_report(client: Client) -> None:
    with published_progress("training", "steps") as report:
        assert report is not None
        report(1, 4, "")
        _until(lambda: client.sent)
        report(2, 4, "WER 45.00 %")
        _until(lambda: len(client.sent) > 1)
        report(4, 4, "WER 8.00 %")
    kinds, shares, lines = zip(*client.sent, strict=True)
    assert (kinds[0], set(kinds[1:])) == ("new", {"update"})
    assert (shares[0], shares[-1]) == (25.0, 100.0)
    assert lines[0] == "training: 1/4 steps"
    assert lines[-1].endswith("WER 8.00 %")


def test_the_step_goes_on_if_prefect_is_gone(client: Client) -> None:
    client.gone = True
    with published_progress("gate", "clips") as report:
        assert report is not None
        report(1, 4, "")
        time.sleep(0.2)
        report(2, 4, "")
    assert client.sent == []


def test_the_end_of_a_step_does_not_wait_for_a_prefect_that_hangs(client: Client, monkeypatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(_: Any) -> None:
        asked.set()
        answer.wait(60)
        raise httpx.ReadTimeout("no answer")

    monkeypatch.setattr(progress_artifact, "_LAST", 0.1)
    monkeypatch.setattr(client, "create_artifact", hang)
    with published_progress("gate", "clips") as report:
        assert report is not None
        report(1, 4, "")
        assert asked.wait(10)
    (left,) = [thread for thread in threading.enumerate() if thread.name == "progress"]
    answer.set()
    left.join(10)
    assert not left.is_alive()


def test_nothing_is_published_outside_a_flow_run(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr("prefect.runtime.flow_run.get_id", lambda: None)
    with published_progress("gate", "clips") as report:
        assert report is None


def test_work_that_ends_at_once_publishes_nothing(client: Client) -> None:
    with published_progress("gate", "clips"):
        pass
    assert client.sent == []


def test_the_newest_artifact_of_a_run_is_its_present_step() -> None:
    found = [SimpleNamespace(data=25.0, description="training: 1/4 steps")]
    reader: Any = SimpleNamespace(read_artifacts=lambda **_: found)
    assert read_progress(reader, str(RUN_ID)) == (25.0, "training: 1/4 steps")
    found.clear()
    assert read_progress(reader, str(RUN_ID)) is None
