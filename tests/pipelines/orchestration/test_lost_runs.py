"""No living run is declared dead: by chance, by a clock, by a server that was away; and a dead one is, in time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from pipelines.local.interrupted_runs import Presence
from pipelines.orchestration.lost_runs import SILENT, LostRun, SeenRun, Watched, look

EVERY = 5.0


def _watch(runs: list[SeenRun], seconds: float, before: Watched | None = None, now: float = 0.0):
    """Look every 5 s at runs that do not change; return what is known and the first that was found dead."""
    watched, found = before or Watched(), []
    end = now + seconds
    while now < end:
        watched, dead = look(watched, runs, now)
        found += [(now, one) for one in dead]
        now += EVERY
    return watched, found


AFAR = SeenRun("r", "s", "RUNNING", Presence.ELSEWHERE, "line-4", "beat", "12:00")


@pytest.mark.parametrize(
    ("run", "after"),
    [
        (replace(AFAR, presence=Presence.GONE), 10.0),
        (replace(AFAR, presence=Presence.GONE, state_type="CANCELLING"), 10.0),
        (replace(AFAR, presence=Presence.GONE, state_type="PENDING"), 60.0),
        (AFAR, SILENT),
        (replace(AFAR, heartbeat=""), SILENT),
        (replace(AFAR, state_type="PENDING"), SILENT),
        (replace(AFAR, state_type="PENDING", worker="", worker_heartbeat=""), SILENT),
    ],
)
def test_a_dead_run_is_found_in_time(run: SeenRun, after: float) -> None:
    _, found = _watch([run], 200)
    assert found[0][0] == after
    assert isinstance(found[0][1], LostRun)
    assert found[0][1].begun is (run.state_type != "PENDING")


def test_a_cancelled_run_that_no_process_ends_is_found_although_its_worker_lives() -> None:
    watched, dead, now = Watched(), [], 0.0
    while not dead and now < 200:
        run = replace(AFAR, state_type="CANCELLING", worker_heartbeat=str(now // 30))
        watched, dead = look(watched, [run], now)
        now += EVERY
    assert now - EVERY == SILENT
    assert dead[0].reason == "it has not reported anything for 90 s"


@pytest.mark.parametrize(
    "run",
    [
        replace(AFAR, presence=Presence.HERE),
        replace(AFAR, presence=Presence.HERE, state_type="PENDING"),
        replace(AFAR, worker="", heartbeat="", worker_heartbeat=""),
    ],
)
def test_a_stopped_process_and_a_run_without_a_worker_are_never_dead(run: SeenRun) -> None:
    assert _watch([run], 4 * 3600)[1] == []


def test_one_sign_of_life_is_enough() -> None:
    for changes in ("heartbeat", "worker_heartbeat", "state_id"):
        watched = Watched()
        for number in range(2000):
            # every 60 s, which is two reports lost in a row
            watched, dead = look(watched, [replace(AFAR, **{changes: str(number // 12)})], number * EVERY)
            assert dead == []


def test_a_server_that_was_away_begins_the_wait_again() -> None:
    watched, found = _watch([AFAR], SILENT - EVERY)
    after, found = _watch([AFAR], SILENT, watched, 200.0)
    assert found == []
    _, found = _watch([AFAR], 2 * EVERY, after, 200.0 + SILENT)
    assert found


def _afar(seed: int, ends: float, away: list[tuple[float, float]], dies: float = float("inf")) -> float:
    """Return when a run is found dead, 0 if it is not; one look of five has no answer, and in an outage none.

    It and its worker report each 30 s, and nothing arrives in an outage.
    """
    pick, watched, now = random.Random(seed), Watched(), 0.0
    phases, arrived = (pick.uniform(0, 30), pick.uniform(0, 30)), [0.0, 0.0]
    while now < ends:
        now += EVERY
        out = any(begin <= now < end for begin, end in away)
        for which, phase in enumerate(phases):
            last = phase + 30.0 * ((now - phase) // 30.0)
            if last < dies and not any(begin <= last < end for begin, end in away):
                arrived[which] = max(arrived[which], last)
        if not out and pick.random() >= 0.2:
            run = replace(AFAR, heartbeat=str(arrived[0]), worker_heartbeat=str(arrived[1]))
            watched, dead = look(watched, [run], now)
            if dead:
                return now
    return 0.0


def test_looks_without_an_answer_delay_little() -> None:
    took = [_afar(seed, 900.0, [], 400.0) - 400.0 for seed in range(100)]
    assert min(took) > SILENT - 30, "never while it was alive"
    # the few that come later had several looks in a row without an answer
    assert sum(seconds <= 120 for seconds in took) >= 95
    assert max(took) < 150


def test_a_living_run_outlives_every_outage() -> None:
    for seed in range(100):
        away = [(begin, begin + random.Random(seed + begin).uniform(0, 75)) for begin in range(120, 1000, 200)]
        assert _afar(seed, 1100.0, away) == 0.0, seed


@dataclass
class Machine:
    """A pretended run on one machine, from its claim to its end, with what its signs of life would say."""

    id: str
    pick: random.Random
    local: bool
    length: float
    begin: float
    start_takes: float = field(init=False)
    hung: tuple[float, float] = field(init=False)
    mute: str = field(init=False)
    """Who is silent all the time: its worker was killed, or no heartbeat arrives."""

    def __post_init__(self) -> None:
        self.mute = self.pick.choice(["", "worker", "run"])
        self.start_takes = self.pick.choice([0.3, 2.0, 8.0, 25.0])
        at = self.begin + self.pick.uniform(0, 60)
        # one in ten is stopped for a while; it continues afterwards
        self.hung = (
            (at, at + self.pick.uniform(0, 600)) if self.pick.random() < 0.1 and self.mute != "worker" else (0.0, 0.0)
        )

    @property
    def running(self) -> float:
        return self.begin + self.start_takes + 3.0

    @property
    def end(self) -> float:
        length = self.length + max(0.0, self.hung[1] - self.hung[0])
        return self.running + length

    def seen(self, listed: float, checked: float, beats: float, clock: float) -> SeenRun | None:
        """Return the run as listed by Prefect at one moment, with its process looked for at a later one."""
        if not self.begin <= listed < self.end:
            return None
        begun = listed >= self.running
        # the process is there from its start until shortly after it has reported its end
        there = self.begin + self.start_takes <= checked < self.end + 0.2
        hung = self.hung[0] <= listed < self.hung[1]
        beating = min(listed, self.hung[0]) if hung else listed
        beat = int((beating - self.running - 5.0) // 30) if begun and self.mute != "run" else -1
        # a worker's clock may be an hour wrong; its reports are a text that changes
        report = 0 if self.mute == "worker" and begun else int((listed + clock + self.pick.uniform(0, beats)) // 30)
        presence = (Presence.HERE if there else Presence.GONE) if self.local else Presence.ELSEWHERE
        state = "RUNNING" if begun else "PENDING"
        return SeenRun(self.id, f"{self.id}-{state}", state, presence, "w", str(max(0, beat)), str(report))


def _machines(pick: random.Random, count: int) -> Iterator[Machine]:
    moment = 0.0
    for number in range(count):
        length = pick.choice([0.05, 0.5, 3.0, 20.0, 70.0, 200.0])
        yield Machine(str(number), pick, pick.random() < 0.5, length, moment)
        moment += pick.uniform(0, 4)


def test_of_ten_thousand_short_runs_none_is_declared_dead() -> None:
    pick = random.Random(14)
    every = list(_machines(pick, 10_000))
    watched, now, looks, first = Watched(), 0.0, 0, 0
    last = max(machine.end for machine in every)
    shown: set[str] = set()
    while now < last:
        while first < len(every) and every[first].end < now:
            first += 1
        # Prefect is asked for the runs, and the processes are looked for up to 2 s later
        lag = pick.uniform(0, 2)
        found = []
        for machine in every[first : first + 400]:
            if machine.begin > now:
                break
            if run := machine.seen(now, now + lag, 10.0, pick.choice([-3600.0, 0.0, 3600.0])):
                found.append(run)
        shown.update(run.id for run in found)
        if pick.random() < 0.001:
            # an outage of some minutes: the looks fail
            now += pick.uniform(60, 400)
        watched, dead = look(watched, found, now + lag)
        assert dead == [], dead
        looks += 1
        now += EVERY + lag + pick.uniform(0, 1)
    assert len(shown) > 5000
    assert looks > 1000
