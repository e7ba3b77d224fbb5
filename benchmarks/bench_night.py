"""One night of a plant: schedules, Prefect, MLflow and four workers on this machine, with tiny trainings on the CPU.

    python benchmarks/bench_night.py [--slots 200] [--due 12] [--workers 4] [--spread 0s] [--minutes 600]

`--slots` is the number of sites, with a slot for each of three tasks; `--due` says how many of these slots are due this
night (all by default). Each of them has an intake of its own before the night and is trained and judged for the first
time in it. The others are registered with a schedule at another hour, and have two versions each in the registry.
The servers are those of `elp up`; each worker is an enrolled `elp worker` with a home of its own, which clones the
workspace from a Git repository and reads the data from the DVC remote.

Printed are: how long a run takes beyond its training, how late it starts, CPU seconds of workers, runs and servers a
run, growth of databases, Git, artifacts and homes a run, and the times of `elp status`, `elp schedule list`, console
pages and `/elp/metrics` before and after. All of it belongs to this machine and what else it does: use the counts, the
bytes and the CPU seconds. SIGINT, SIGTERM and `--minutes` end the night early: the figures of the runs that have ended
are printed then.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

# the deliveries and the rows of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import pytest
from night_figures import answers, report_runs, report_tables, report_use, use
from night_plant import NightPlant, night_slots
from worker_hosts import elp, enrolled_worker

from pipelines.local.addresses import prefect_api
from pipelines.local.foreground import Stopped, stop_signals
from pipelines.local.workspace import Workspace
from pipelines.orchestration.slot_deployments import pages
from tests.support.workspaces import isolate

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
LOOK_EVERY, SAY_EVERY = 10.0, 300.0


def tonight(api: str, at: datetime) -> list[dict[str, Any]]:
    """Return Prefect's records of the runs that were due at `at` or after, before the next night, and have ended."""
    ends = (at + timedelta(hours=23)).isoformat()
    window = {"expected_start_time": {"after_": at.isoformat(), "before_": ends}, "state": {"type": {"any_": [*ENDED]}}}
    found = pages(api, "flow_runs/filter", {"flow_runs": window})
    return [run for run in found if run["name"].startswith("retrain ")]


def wait(api: str, at: datetime, runs: int, minutes: float) -> list[dict[str, Any]]:
    """Wait until this many runs have ended, a signal asks for the end, or so many minutes have passed; return them."""
    begin = said = time.monotonic()
    found: list[dict[str, Any]] = []
    try:
        while True:
            try:
                found = tonight(api, at)
            except OSError as error:
                print(f"Prefect's server did not answer: {error}", flush=True)
            now = time.monotonic()
            if now - said > SAY_EVERY:
                said = now
                print(f"after {(now - begin) / 60:.0f} minutes {len(found)} of {runs} runs have ended", flush=True)
            if len(found) >= runs:
                return found
            if now - begin > 60 * minutes:
                print(f"\nended after {minutes:g} minutes, before all {runs} runs had ended", flush=True)
                return found
            time.sleep(LOOK_EVERY)
    except Stopped as signalled:
        print(f"\nended by {signalled}, before all {runs} runs had ended", flush=True)
        return found


def night(plant: NightPlant, workspace: Workspace, workers: Sequence[psutil.Process], minutes: float) -> None:
    """Let one night happen between two looks at everything."""
    api = prefect_api(workspace)
    begin = time.perf_counter()
    elp(workspace, "schedule", "apply", "--yes")
    took = time.perf_counter() - begin
    print(f"elp schedule apply of {len(plant.slots)} slots took {took:.1f} s", flush=True)
    registered = plant.slots[plant.due :]
    first = answers(workspace, str(registered[0]) if registered else "")
    # a full minute, for which there is time to apply the schedules again
    at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2 + 2 * took // 60)
    plant.set_schedule(f"{at.minute} {at.hour} * * *")
    elp(workspace, "schedule", "apply", "--yes")
    left = at.timestamp() - time.time()
    print(f"{plant.due} slots are due in {left:.0f} s; load {os.getloadavg()[0]:.1f}", flush=True)
    time.sleep(max(0.0, left - 5))
    before = use(plant, workspace, workers)
    runs = wait(api, at, plant.due, minutes)
    after = use(plant, workspace, workers)
    report_runs(workspace, api, runs, len(workers), plant.together)
    report_use(before, after, max(1, len(runs)))
    report_tables(workspace.state / "prefect" / "prefect.db")
    done = [run["parameters"]["slot"] for run in runs if run["state_type"] == "COMPLETED"]
    print("\n| what | before the night, s | after it, s |\n|---|---|---|")
    for name, value in answers(workspace, done[0] if done else "").items():
        print(f"| {name} | {f'{first[name]:.2f}' if name in first else ''} | {value:.2f} |")
    print(f"load at the end {os.getloadavg()[0]:.1f}", flush=True)


def measure(plant: NightPlant, workers: int, minutes: float) -> None:
    """Make the plant, start its servers and workers for one night, and end them."""
    begin = time.perf_counter()
    workspace = plant.make()
    print(f"{len(plant.slots)} slots were made in {time.perf_counter() - begin:.0f} s", flush=True)
    try:
        elp(workspace, "up")
        homes = [plant.folder / "workers" / f"worker-{number}" for number in range(1, workers + 1)]
        with ExitStack() as stack:
            night(plant, workspace, [stack.enter_context(enrolled_worker(workspace, home)) for home in homes], minutes)
    finally:
        elp(workspace, "down", "--yes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=200, help="sites, with a slot for each of three tasks")
    parser.add_argument("--due", type=int, help="slots that are due this night [default: all]")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--together", type=int, default=1, help="slots that are trained in one pass")
    parser.add_argument("--spread", default="0s", help="over which the starts are spread")
    parser.add_argument("--minutes", type=float, default=600.0, help="the longest wait for the runs")
    parser.add_argument("--folder", type=Path, help="keep the plant here, an empty folder")
    given = parser.parse_args()
    slots = night_slots(given.slots)
    due = len(slots) if given.due is None else given.due
    with tempfile.TemporaryDirectory(prefix="elp-night-") as scratch, pytest.MonkeyPatch.context() as patch:
        folder = (given.folder or Path(scratch)).resolve()
        isolate(folder / "home", patch)
        try:
            with stop_signals():
                measure(NightPlant(folder, slots, due, given.together, given.spread), given.workers, given.minutes)
        except Stopped as signalled:
            print(f"ended by {signalled} before the night began")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
