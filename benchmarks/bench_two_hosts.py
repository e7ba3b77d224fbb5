"""Twelve runs of one night on two hosts against one: each host is a worker with a home and a core of its own.

    python benchmarks/bench_two_hosts.py [--slots 12] [--rounds 2] [--minutes 30]

The hosts share nothing but the addresses of the Git repository, the DVC remote, Prefect and MLflow, as the hosts of
`tests/fleet` do, but no network lies between them. Each is pinned to one core, so two of them have twice the processor
of one; the servers may use all cores, as on a host of their own, but here they take time from the workers. One host and
two hosts do the same runs in turn, each time with new homes and another seed, so that everything is cloned, fetched and
trained again. Use the ratios, and look at the load that is printed with them. Runs that take longer than `--minutes`
end the benchmark, as SIGINT and SIGTERM do; the medians of what was measured until then are printed.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

# the deliveries and the Git repositories of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from night_plant import TASK, fill_night, night_slots
from worker_hosts import elp, enrolled_worker

from elp_core.testing import save_tiny
from pipelines.datasets.expectations import import_great_expectations
from pipelines.local import git
from pipelines.local.foreground import Stopped, stop_signals
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.prefect_api import FollowedRun, connect_prefect, read_run, run_parameters, start_run
from pipelines.registry.slot import Slot
from tests.support.git_servers import shared_workspace
from tests.support.workspaces import isolate

SETTINGS = """backbone: {backbone}
servers: {{mlflow_port: 0, prefect_port: 0, workers: 0}}
defaults:
{tasks}
"""


def make_plant(folder: Path, slots: Sequence[Slot]) -> Workspace:
    """Make a workspace with a Git address and with slots that have data; its own machine trains nothing."""
    tasks = "".join(TASK.format(task=task) for task in sorted({slot.task for slot in slots}))
    text = SETTINGS.format(backbone=save_tiny(folder / "backbone"), tasks=tasks)
    workspace = shared_workspace(folder / "plant", text)
    import_great_expectations()
    fill_night(workspace, slots, len(slots), folder / "deliveries")
    git.git(workspace.root, "push", "--quiet", workspace.address, "main")
    return open_workspace(workspace.root)


def set_seed(workspace: Workspace, seed: int) -> None:
    """Commit and push another seed: the runs train everything again."""
    path = workspace.root / "elp.yaml"
    path.write_text(re.sub(r"seed: \d+", f"seed: {seed}", path.read_text("utf-8")), "utf-8")
    git.commit(workspace.root, [Path("elp.yaml")], f"Take seed {seed}")
    git.git(workspace.root, "push", "--quiet", workspace.address, "main")


def run_all(workspace: Workspace, slots: Sequence[Slot], minutes: float) -> list[FollowedRun]:
    """Start a run of each slot, and wait until all have ended; ends the benchmark if they take too long."""
    ends = time.monotonic() + 60 * minutes
    with connect_prefect(workspace) as client:
        runs = [
            start_run(client, workspace, "retrain", {**run_parameters(workspace), "slot": str(slot)}, f"retrain {slot}")
            for slot in slots
        ]
        while True:
            found = [read_run(client, run.id) for run in runs]
            if all(run.ended for run in found):
                return found
            if time.monotonic() > ends:
                waiting = [f"{run.name}: {run.state} {run.message}" for run in found if not run.ended]
                raise SystemExit("\n".join([f"not ended after {minutes:g} minutes:", *waiting]))
            time.sleep(1.0)


def measure(workspace: Workspace, folder: Path, slots: Sequence[Slot], cores: Sequence[int], minutes: float) -> float:
    """Return the seconds of all runs on a host for each core; a run that did not complete ends the benchmark."""
    with ExitStack() as stack:
        for core in cores:
            home = folder / f"{folder.name}-core-{core}"
            stack.enter_context(enrolled_worker(workspace, home, ("taskset", "-c", str(core))))
        began = time.perf_counter()
        runs = run_all(workspace, slots, minutes)
        took = time.perf_counter() - began
    if wrong := [f"{run.name}: {run.state} {run.message}" for run in runs if run.state_type != "COMPLETED"]:
        raise SystemExit("\n".join(wrong))
    return took


def take_rounds(workspace: Workspace, folder: Path, slots: Sequence[Slot], given: argparse.Namespace) -> None:
    """Let one host and two hosts do the runs in turn, and print each time and at last the medians."""
    cores, seconds = sorted(os.sched_getaffinity(0))[:2], dict[int, list[float]]({1: [], 2: []})
    print("| round | hosts | seconds | load |\n|---|---|---|---|", flush=True)
    try:
        for round_ in range(given.rounds):
            for hosts in seconds:
                set_seed(workspace, 10 * (round_ + 1) + hosts)
                home = folder / f"round-{round_}-{hosts}"
                seconds[hosts].append(measure(workspace, home, slots, cores[:hosts], given.minutes))
                print(f"| {round_} | {hosts} | {seconds[hosts][-1]:.0f} | {os.getloadavg()[0]:.1f} |", flush=True)
    finally:
        if seconds[2]:
            one, two = (statistics.median(seconds[hosts]) for hosts in (1, 2))
            print(f"\n{len(slots)} runs: {one:.0f} s on one host, {two:.0f} s on two, {one / two:.2f} x as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30.0, help="the longest wait for the runs of one turn")
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two hosts need two cores")
    slots = night_slots(-(-given.slots // 3))[: given.slots]
    with tempfile.TemporaryDirectory(prefix="elp-hosts-") as scratch, pytest.MonkeyPatch.context() as patch:
        folder = Path(scratch)
        isolate(folder / "home", patch)
        workspace = make_plant(folder, slots)
        with stop_signals():
            try:
                elp(workspace, "up")
                take_rounds(workspace, folder, slots, given)
            except Stopped as signalled:
                raise SystemExit(f"ended by {signalled}") from signalled
            finally:
                elp(workspace, "down", "--yes")


if __name__ == "__main__":
    main()
