"""The main job under random faults for hours: `soak.py --hours 8 [--system]`.

Every round has a slot of its own, one or two faults at random moments (seed printed), and the comparison with an
undisturbed job. Every ten minutes 20 random slots so far are compared again, and the growth of memory, tables and disk
is looked at; at the end all slots are. A slot that differs, a file or lock that is left, and growth beyond `Growth`
count as bad. Exit code 1 if anything is bad. SIGINT and SIGTERM end it early, without the last comparison of all slots.

The job works without Prefect, under kills of its process and of the MLflow server. `--system` takes a `retrain` run of
real servers and workers of `elp up` in its place, with the faults of `tests/support/system_faults.py`: also the worker,
the Prefect server, the supervision, everything, and a run that hangs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pipelines.local.foreground import Stopped, stop_signals
from tests.support.plant import Plant, plant_with_a_job
from tests.support.public_state import leftovers
from tests.support.system_faults import FAULTS, begin_a_new_count
from tests.support.whole_system import family, running_system

CHECK_EVERY = 600.0
MORE = 1.5
"""Memory may be so many times that of the first look; rows and bytes a round so many times those until then."""


@dataclass(frozen=True)
class Growth:
    """Size of the server after some rounds."""

    rounds: int
    memory: float
    """MiB of the MLflow server."""
    rows: int
    """Of all tables of MLflow."""
    disk: float
    """MiB of the workspace and the server's files."""
    temporary: int

    def beyond(self, first: Growth) -> list[str]:
        """Return what has grown too much since the first look."""
        found = [f"{self.temporary} temporary files"] if self.temporary else []
        if self.memory > MORE * first.memory:
            found.append(f"memory {first.memory:.0f} -> {self.memory:.0f} MiB")
        for name, before, now in (("rows", first.rows, self.rows), ("MiB on disk", first.disk, self.disk)):
            if first.rounds and now / self.rounds > MORE * before / first.rounds:
                found.append(f"{name} a round {before / first.rounds:.1f} -> {now / self.rounds:.1f}")
        return found


@dataclass(frozen=True)
class Soaked:
    """What the rounds work on: the plant without Prefect, or the whole system."""

    round: Callable[[random.Random], tuple[str, list[str], str]]
    """Do a round; return the slot, the faults, and what differs (empty if nothing)."""
    differs: Callable[[str], bool]
    """Whether a slot is another one than an undisturbed one."""
    left: Callable[[], list[str]]
    size: Callable[[int], Growth]


def _fault(plant: Plant, pick: random.Random) -> str:
    kind = pick.choice(["kill the job", "kill the server", "stop both for a while"])
    try:
        if kind == "kill the job":
            os.killpg(plant.jobs.pid, signal.SIGKILL)
        elif kind == "kill the server":
            plant.signal_server(signal.SIGKILL)
            plant.serve()
        else:
            os.killpg(plant.jobs.pid, signal.SIGSTOP)
            plant.signal_server(signal.SIGSTOP)
            time.sleep(2.0)
            plant.signal_server(signal.SIGCONT)
            os.killpg(plant.jobs.pid, signal.SIGCONT)
    except ProcessLookupError:
        plant.signal_server(signal.SIGCONT)
        return f"{kind}: it had ended"
    return kind


@contextmanager
def _plant(folder: Path) -> Iterator[Soaked]:
    with plant_with_a_job(folder) as plant:
        jobs = {}
        begin = time.monotonic()
        plant.jobs.run(plant.new_job())
        length = time.monotonic() - begin
        print(f"a job takes {length:.1f} s", flush=True)

        def once(pick: random.Random) -> tuple[str, list[str], str]:
            job, faults = plant.new_job(), []
            jobs[job.slot] = job
            for _ in range(pick.choice([1, 2])):
                plant.jobs.start(job)
                time.sleep(pick.uniform(0, length))
                faults.append(_fault(plant, pick))
                plant.jobs.wait()
            try:
                plant.check_healed(job)
            except AssertionError as error:
                return job.slot, faults, str(error)
            return job.slot, faults, ""

        def size(rounds: int) -> Growth:
            return _size(rounds, plant.server, plant.folder / "server" / "mlflow.db", plant.folder)

        yield Soaked(
            once, lambda slot: plant.state(jobs[slot]) != plant.expected, lambda: leftovers(plant.workspace), size
        )


@contextmanager
def _system(folder: Path) -> Iterator[Soaked]:
    with running_system(folder) as system:
        slots = {}
        print(f"a run takes {system.length:.1f} s", flush=True)

        def once(pick: random.Random) -> tuple[str, list[str], str]:
            if len(slots) % 4 == 0:
                begin_a_new_count(system)
            slot, run = system.start()
            slots[str(slot)] = slot
            faults = pick.sample(list(FAULTS), pick.choice([1, 2]))
            for what in faults:
                time.sleep(pick.uniform(0, system.length))
                FAULTS[what](system, run)
            try:
                ended = system.wait(run)
            except TimeoutError as error:
                return str(slot), faults, f"{error}: {system.states(run)}"
            if ended.state != "Completed":
                return str(slot), faults, f"the run ended as {ended.state}: {system.states(run)}"
            return str(slot), faults, "" if system.state(slot) == system.expected else "its state differs"

        def left() -> list[str]:
            last = list(slots.values())[-1]
            return leftovers(system.workspace) + system.disorder(last)

        def size(rounds: int) -> Growth:
            state = system.workspace.state
            return _size(rounds, system.pid("mlflow"), state / "mlflow.db", system.workspace.root)

        yield Soaked(once, lambda slot: system.state(slots[slot]) != system.expected, left, size)


def _size(rounds: int, server: int, database: Path, folder: Path) -> Growth:
    memory = 0
    for process in family(server):
        with suppress(psutil.NoSuchProcess):
            memory += process.memory_info().rss
    with closing(sqlite3.connect(database)) as db:
        names = [row[0] for row in db.execute("select name from sqlite_master where type = 'table'")]
        rows = sum(db.execute(f'select count(*) from "{name}"').fetchone()[0] for name in names)
    disk = temporary = 0
    for path in folder.rglob("*"):
        # servers write and remove files meanwhile
        with suppress(FileNotFoundError):
            disk += path.lstat().st_size
            temporary += path.suffix == ".tmp" and time.time() - path.lstat().st_mtime > CHECK_EVERY
    return Growth(rounds, memory / 2**20, rows, disk / 2**20, temporary)


def _checked(soaked: Soaked, slots: list[str], first: Growth | None, rounds: int) -> tuple[Growth, int]:
    """Look at some slots and at the growth since the first look; return the size and how much is bad."""
    bad = [f"{slot} has changed since it was compared" for slot in slots if soaked.differs(slot)]
    size = soaked.size(rounds)
    bad += [f"left: {one}" for one in soaked.left()] + (size.beyond(first) if first else [])
    print(f"{rounds} rounds, {len(slots)} slots compared again, {size}", *bad, sep="\n  ", flush=True)
    return size, len(bad)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--system", action="store_true", help="servers and workers of elp up, with Prefect")
    given = parser.parse_args()
    pick, bad, first = random.Random(given.seed), 0, None
    print(f"seed {given.seed}", flush=True)
    done, way = list[str](), _system if given.system else _plant
    ends = time.monotonic() + given.hours * 3600
    try:
        with stop_signals(), tempfile.TemporaryDirectory() as name, way(Path(name)) as soaked:
            checked = time.monotonic()
            while time.monotonic() < ends:
                slot, faults, fault = soaked.round(pick)
                done.append(slot)
                if fault:
                    bad += 1
                    print(f"{slot}, {' and '.join(faults)}: {fault[-1500:]}", flush=True)
                if time.monotonic() - checked > CHECK_EVERY:
                    size, more = _checked(soaked, pick.sample(done, min(len(done), 20)), first, len(done))
                    first, bad, checked = first or size, bad + more, time.monotonic()
            bad += _checked(soaked, done, first, len(done))[1]
    except Stopped as signalled:
        print(f"ended by {signalled}")
    finally:
        print(f"{len(done)} rounds, {bad} bad", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
