"""A worker of another machine that falls silent is reported once, with or without a run, whatever the clocks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.lost_runs import SILENT
from pipelines.orchestration.worker_watch import WorkerWatch, lost_workers
from tests.support.pretended_prefect import PretendedPrefect, pretended_prefect

LOCAL = "elp-gpu-local"


class Rounds:
    """A watch, its clock, and what it reported."""

    def __init__(self, prefect: PretendedPrefect) -> None:
        self.prefect, self.watch, self.now = prefect, WorkerWatch(), 1000.0
        self.alerts: list[Alert] = []

    def go(self, seconds: float, each: Callable[[int], object] = lambda _: None) -> None:
        for number in range(int(seconds // 5)):
            each(number)
            self.alerts += lost_workers(self.watch, self.prefect.api, {LOCAL}, self.now)
            self.now += 5.0

    def report(self, number: int) -> None:
        """Let the worker report every 30 s."""
        self.prefect.workers["line-4:GPU-a"] = f"{self.now - self.now % 30}"
        self.prefect.offline.discard("line-4:GPU-a")


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    with pretended_prefect() as prefect:
        yield Rounds(prefect)


def test_a_worker_without_a_run_is_reported_once_and_again_after_it_came_back(rounds: Rounds) -> None:
    rounds.go(600, rounds.report)
    # it reported up to 30 s ago
    rounds.go(SILENT - 35)
    assert rounds.alerts == []
    # Prefect calls it offline meanwhile
    rounds.prefect.offline.add("line-4:GPU-a")
    rounds.go(600)
    (alert,) = rounds.alerts
    assert (alert.event, alert.kind, alert.reason) == (
        "elp.worker.lost", "failed", "it has not reported to Prefect for 90 s",
    )  # fmt: skip
    assert alert.what == "the worker line-4:GPU-a no longer answers"
    rounds.go(60, rounds.report)
    rounds.go(600)
    assert len({alert.id for alert in rounds.alerts}) == len(rounds.alerts) == 2


def test_a_worker_that_was_deleted_is_local_or_was_offline_before_is_not_reported(rounds: Rounds) -> None:
    rounds.prefect.workers = {LOCAL: "12:00", "history": "12:00"}
    rounds.prefect.offline.add("history")
    rounds.go(60, rounds.report)
    # as elp worker does when it ends
    del rounds.prefect.workers["line-4:GPU-a"]
    rounds.go(600)
    assert rounds.alerts == []


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_the_clock_of_the_server_changes_nothing(rounds: Rounds, ahead: float) -> None:
    rounds.go(60, rounds.report)
    # what it stores from now on is of another hour
    rounds.go(600, lambda _: rounds.prefect.workers.update({"line-4:GPU-a": f"{rounds.now + ahead - rounds.now % 30}"}))
    assert rounds.alerts == []
    rounds.go(SILENT + 60)
    assert len(rounds.alerts) == 1


def test_a_server_that_was_away_gives_the_workers_time(rounds: Rounds) -> None:
    rounds.go(60, rounds.report)
    rounds.prefect.away = True
    with pytest.raises(OSError, match="503"):
        rounds.go(5)
    rounds.now += 300.0
    rounds.prefect.away = False
    # its server calls each offline that could not report
    rounds.prefect.offline.add("line-4:GPU-a")
    rounds.go(30)
    rounds.go(600, rounds.report)
    assert rounds.alerts == []


def test_a_lost_worker_is_reported_once_also_after_a_pause_between_two_looks(rounds: Rounds) -> None:
    rounds.go(60, rounds.report)
    rounds.prefect.offline.add("line-4:GPU-a")
    rounds.go(300)
    for _ in range(3):
        # as of a machine that sleeps, or a server that does not answer
        rounds.now += 90.0
        rounds.go(200)
    assert len(rounds.alerts) == 1
    # its row in Prefect is gone, and comes back
    del rounds.prefect.workers["line-4:GPU-a"]
    rounds.go(60)
    rounds.go(60, rounds.report)
    rounds.go(300)
    assert len(rounds.alerts) == 2
