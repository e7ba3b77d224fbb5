"""What is asked of Prefect during a pass; `test_joined_runs.py` has a real server."""

from __future__ import annotations

import threading

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.errors import RunCancelled
from pipelines.orchestration import cancelled_joins
from pipelines.orchestration.cancelled_joins import watched_cancellations
from pipelines.orchestration.shared_pass import SharedPass
from tests.support.pretended_prefect import pretended_prefect


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelled_joins, "EVERY", 0.02)


class Noted(SharedPass):
    """Notes which runs were taken out."""

    def __init__(self) -> None:
        super().__init__("leader", lambda parts: {})
        self.taken: list[str] = []
        self.seen = threading.Event()

    def take_out(self, run: str, error: Exception) -> None:
        assert isinstance(error, RunCancelled)
        self.taken.append(run)
        self.seen.set()


def test_a_joined_run_that_is_cancelled_is_taken_out_and_no_other() -> None:
    shared = Noted()
    with pretended_prefect() as prefect, temporary_settings({PREFECT_API_URL: prefect.api}):
        for run in ("leader", "joined", "kept", "of-another-pass"):
            prefect.add(run, "RUNNING")
        with watched_cancellations(shared, ["joined", "kept"]):
            prefect.away = True
            for run in ("leader", "joined", "of-another-pass"):
                prefect.set(run, {"type": "CANCELLING"})
            assert not shared.seen.wait(0.2), "Prefect does not answer"
            prefect.away = False
            assert shared.seen.wait(60)
    assert set(shared.taken) == {"joined"}


def test_a_run_without_others_asks_nobody() -> None:
    before = threading.active_count()
    with pretended_prefect() as prefect, temporary_settings({PREFECT_API_URL: prefect.api}):
        serving = threading.active_count()
        with watched_cancellations(Noted(), []):
            assert threading.active_count() == serving > before
