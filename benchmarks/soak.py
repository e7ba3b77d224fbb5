"""The main job under random faults for hours: `soak.py --hours 8`.

Every round has a slot of its own, one or two faults at random moments (seed printed), and the comparison with an
undisturbed job. Every ten minutes the invariants of all slots so far are looked at again, and the growth of memory,
tables and disk is printed. Exit code 1 if anything differs.
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
from contextlib import closing
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.main_job import MainJob
from tests.support.plant import Plant, plant_with_a_job
from tests.support.public_state import leftovers

CHECK_EVERY = 600.0


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


def _round(plant: Plant, pick: random.Random, length: float) -> tuple[MainJob, list[str], str]:
    job, faults = plant.new_job(), []
    for _ in range(pick.choice([1, 2])):
        plant.jobs.start(job)
        time.sleep(pick.uniform(0, length))
        faults.append(_fault(plant, pick))
        plant.jobs.wait()
    try:
        plant.check_healed(job)
    except AssertionError as error:
        return job, faults, str(error)
    return job, faults, ""


def _growth(plant: Plant) -> str:
    server = psutil.Process(plant.server)
    memory = sum(p.memory_info().rss for p in (server, *server.children(recursive=True))) / 2**20
    with closing(sqlite3.connect(plant.folder / "server" / "mlflow.db")) as db:
        names = [row[0] for row in db.execute("select name from sqlite_master where type = 'table'")]
        rows = {name: db.execute(f'select count(*) from "{name}"').fetchone()[0] for name in names}
    largest = ", ".join(f"{name} {rows[name]}" for name in sorted(rows, key=lambda name: -rows[name])[:4])
    disk = sum(path.stat().st_size for path in plant.folder.rglob("*") if path.is_file() and not path.is_symlink())
    temporary = sum(1 for path in plant.folder.rglob("*.tmp"))
    return f"server {memory:.0f} MiB; rows: {largest}; disk {disk / 2**20:.0f} MiB; {temporary} temporary files"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    given = parser.parse_args()
    pick, bad = random.Random(given.seed), 0
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, plant_with_a_job(Path(folder)) as plant:
        ends, checked, done = time.monotonic() + given.hours * 3600, time.monotonic(), list[MainJob]()
        begin = time.monotonic()
        plant.jobs.run(plant.new_job())
        length = time.monotonic() - begin
        print(f"a job takes {length:.1f} s; {_growth(plant)}", flush=True)
        while time.monotonic() < ends:
            job, faults, fault = _round(plant, pick, length)
            bad += bool(fault)
            if fault:
                print(f"{job.slot}, {' and '.join(faults)}: {fault[-1500:]}", flush=True)
            done.append(job)
            if time.monotonic() - checked > CHECK_EVERY or time.monotonic() > ends:
                checked = time.monotonic()
                for one in pick.sample(done, min(len(done), 20)):
                    if plant.state(one) != plant.expected:
                        bad += 1
                        print(f"{one.slot} has changed since it was compared", flush=True)
                print(
                    f"{len(done)} rounds, {bad} bad; left: {leftovers(plant.workspace)}; {_growth(plant)}", flush=True
                )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
