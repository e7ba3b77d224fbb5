"""One night of a plant: schedules, Prefect, MLflow and four workers on this machine, with tiny trainings on the CPU.

    python benchmarks/bench_night.py [--slots 200] [--due 12] [--workers 4] [--spread 0s] [--minutes 600]

`--slots` is the number of sites, with a slot for each of three tasks; `--due` says how many of these slots are due this
night (all by default). Each of them has an intake of its own before the night and is trained and judged for the first
time in it. The others are registered with a schedule at another hour, and have two versions each in the registry.

Printed are: how long a run takes beyond its training, how late it starts, CPU seconds of workers, runs and servers a
run, growth of databases, Git, artifacts and cache a run, and the times of `elp status`, of the console's first page and
of `/elp/metrics` before and after. All of it belongs to this machine and what else it does: use the counts, the bytes
and the CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

# the deliveries and the rows of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import pytest
from night_plant import fill_night, night_slots

from elp_core.testing import save_tiny
from pipelines.datasets.expectations import import_great_expectations
from pipelines.local.addresses import MLFLOW, PREFECT, mlflow_uri, prefect_api, read_record
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.prefect_api import connect_prefect, read_outcome
from pipelines.orchestration.slot_deployments import pages
from pipelines.registry.ledger.ledger_checkpoint import CHECKPOINT_VARIABLE, checkpoint_file
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import FOLDER_VARIABLE, key_folder
from pipelines.registry.slot import Slot
from tests.support.registry_rows import fill
from tests.support.workspaces import isolate

SETTINGS = """remote: .elp/remote
backbone: {backbone}
servers: {{mlflow_port: 0, prefect_port: 0, workers: {workers}, together: {together}}}
defaults:
{tasks}
schedules:
{schedules}
"""
TASK = """  {task}:
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 2, batch_seconds: 8.0, min_steps: 4, device: cpu, seed: 1, checkpoint_minutes: 0}}
    gate: {{limit: 1.5, margin: 1.0, min_slice: 1, resamples: 200, safety: {{max_slowdown: null}}}}
"""
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
TURNS = 5


def elp(workspace: Workspace, *arguments: str) -> None:
    """Run a command of `elp` in a process of its own."""
    command = [sys.executable, "-m", "pipelines.cli.main", *arguments]
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"elp {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")


def make_plant(folder: Path, slots: Sequence[Slot], due: int, given: argparse.Namespace) -> Workspace:
    """Make the workspace with all its slots and, of those that are not due, the rows of the registry."""
    root = init_workspace(folder / "plant").root
    write_settings(root, save_tiny(folder / "backbone"), slots[:due], "0 0 1 1 *", given)
    subprocess.run(["git", "-C", str(root), "commit", "-q", "-am", "Set it up"], check=True)
    workspace = open_workspace(root)
    import_great_expectations()
    fill_night(workspace, slots, due, folder / "deliveries")
    if len(slots) > due:
        fill_registry(workspace, slots[due:])
    return workspace


def write_settings(root: Path, backbone: Path, due: Sequence[Slot], cron: str, given: argparse.Namespace) -> None:
    """Write `elp.yaml`: the due slots start at `cron`, the others on another day."""
    tasks = "".join(TASK.format(task=task) for task in ("asr", "asv", "ser"))
    names = ", ".join(str(slot) for slot in due)
    schedules = f"  tonight: {{slots: [{names}], cron: '{cron}', spread: {given.spread}}}\n"
    schedules += "  others: {slots: plant-*/*, cron: '0 2 1 2 *', spread: 90m}\n"
    texts = {"workers": given.workers, "together": given.together, "tasks": tasks, "schedules": schedules}
    (root / "elp.yaml").write_text(SETTINGS.format(backbone=backbone, **texts), "utf-8")


def fill_registry(workspace: Workspace, slots: Sequence[Slot]) -> None:
    """Give each slot two versions in the database that `elp up` will use; the servers do not run yet."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from pipelines.server.stores.registry_store import GuardedStore

    keys, database = key_folder(workspace.state), f"sqlite:///{workspace.state / 'mlflow.db'}"
    ring = ensure_keys(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(keys))
        patch.setenv(CHECKPOINT_VARIABLE, str(checkpoint_file(workspace.state)))
        stores = SqlAlchemyStore(database, str(workspace.state / "mlflow-artifacts")), GuardedStore(f"elp+{database}")
        fill(stores[1].engine, slots, 2, ring)
        for store in stores:
            store.engine.dispose()


@dataclass(frozen=True)
class Use:
    """What the plant has used so far."""

    cpu: Mapping[str, float]
    """Seconds of each service, with the processes that it started."""
    disk: Mapping[str, int]
    """Bytes of each store."""


def use(workspace: Workspace) -> Use:
    """Look at processes and folders."""
    record, state = read_record(workspace), workspace.state
    services = {"Prefect server": PREFECT, "MLflow server": MLFLOW, "workers and their runs": "elp-gpu"}
    cpu = {}
    for title, name in (*services.items(), ("supervision", "supervisor")):
        process = psutil.Process(record.find(name).pid)
        times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
        cpu[title] = sum(sum(one[:4]) for one in times)
    files = {
        "mlflow.db": [state / "mlflow.db", state / "mlflow.db-wal"],
        "prefect.db": list((state / "prefect").glob("prefect.db*")),
        ".git": (workspace.root / ".git").rglob("*"),
        "artifacts": (state / "mlflow-artifacts").rglob("*"),
        "cache": workspace.cache.rglob("*"),
        "logs": (state / "logs").rglob("*"),
    }
    disk = {name: sum(path.stat().st_size for path in found if path.is_file()) for name, found in files.items()}
    return Use(cpu, disk)


def answers(workspace: Workspace) -> dict[str, float]:
    """Return the median seconds of the pages and of `elp status`, and its CPU seconds."""
    uri, times = mlflow_uri(workspace), {}
    for name, path in (("console's first page", "/elp/"), ("/elp/metrics", "/elp/metrics")):
        times[name] = statistics.median(seconds(partial(fetch, uri + path)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    times["elp status"] = statistics.median(seconds(lambda: elp(workspace, "status")))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times["elp status, CPU"] = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / TURNS
    return times


def fetch(address: str) -> int:
    """Wait for the whole answer and return its bytes."""
    with urllib.request.urlopen(address, timeout=120) as answer:
        return len(answer.read())


def seconds(work: Callable[[], object]) -> list[float]:
    """Return how long each of some calls takes."""
    found = []
    for _ in range(TURNS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return found


def tonight(api: str, at: datetime) -> list[dict[str, Any]]:
    """Return Prefect's records of the runs that were due at `at` or after, before the next night."""
    ends = (at + timedelta(hours=23)).isoformat()
    window = {"flow_runs": {"expected_start_time": {"after_": at.isoformat(), "before_": ends}}}
    return [run for run in pages(api, "flow_runs/filter", window) if run["name"].startswith("retrain ")]


def wait(api: str, at: datetime, runs: int, minutes: float) -> list[dict[str, Any]]:
    """Wait until this many runs have ended, or so many minutes have passed; return them."""
    begin = said = time.monotonic()
    deadline = begin + 60 * minutes
    while True:
        found = [run for run in tonight(api, at) if run["state_type"] in ENDED]
        if time.monotonic() - said > 600:
            said = time.monotonic()
            print(f"after {(said - begin) / 60:.0f} minutes {len(found)} of {runs} runs have ended", flush=True)
        if len(found) >= runs or time.monotonic() > deadline:
            return found
        time.sleep(5.0)


def moment(text: str) -> float:
    """Return a moment of Prefect in seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def middle(name: str, values: Sequence[float]) -> str:
    """Return a line of the table with the median and the range."""
    return f"| {name} | {statistics.median(values):.1f} ({min(values):.1f} … {max(values):.1f}) |"


def report_runs(workspace: Workspace, api: str, runs: Sequence[dict[str, Any]], workers: int) -> None:
    """Print how the runs ended, how late they were and how long they took beyond their trainings."""
    states = sorted({f"{run['state_name']}: {sum(r['state_name'] == run['state_name'] for r in runs)}" for run in runs})
    print(f"\n{len(runs)} runs ended ({', '.join(states)})\n\n| what | median s (range) |\n|---|---|")
    if not any(run["start_time"] for run in runs):
        print("| none has begun | |")
        return
    late = sorted(moment(run["start_time"]) - moment(run["expected_start_time"]) for run in runs if run["start_time"])
    print(middle(f"due to started, the first {workers}", late[:workers]))
    print(middle("due to started, all (they wait for a worker)", late))
    with connect_prefect(workspace, api) as client:
        records = {run["id"]: read_outcome(client, run["id"]) for run in runs if run["state_type"] == "COMPLETED"}
    whole = {run["id"]: moment(run["end_time"]) - moment(run["start_time"]) for run in runs if run["start_time"]}
    trained = {name: one.adapter.metrics["train_seconds"] for name, one in records.items() if one.adapter}
    if trained:
        print(middle("a run, start to end", [whole[name] for name in trained]))
        print(middle("of it the training function", list(trained.values())))
        print(middle("of it overhead", [whole[name] - took for name, took in trained.items()]))
    ends = [moment(run["end_time"]) for run in runs if run["end_time"]]
    begin = min(moment(run["expected_start_time"]) for run in runs)
    print(f"\nthe night took {(max(ends) - begin) / 60:.1f} minutes with {workers} workers")


def report_use(before: Use, after: Use, runs: int) -> None:
    """Print what a run has used."""
    print("\n| CPU seconds a run | |\n|---|---|")
    for name, spent in after.cpu.items():
        print(f"| {name} | {(spent - before.cpu[name]) / runs:.2f} |")
    print("\n| store | MB after the night | KB a run |\n|---|---|---|")
    for name, size in after.disk.items():
        print(f"| {name} | {size / 1e6:.1f} | {(size - before.disk[name]) / 1e3 / runs:,.1f} |")


def report_tables(file: Path) -> None:
    """Print the largest tables of a database with their rows."""
    with closing(sqlite3.connect(file)) as db:
        names = [row[0] for row in db.execute("select name from sqlite_master where type = 'table'")]
        rows = {name: db.execute(f'select count(*) from "{name}"').fetchone()[0] for name in names}
        columns = {name: [row[1] for row in db.execute(f'pragma table_info("{name}")')] for name in names}
        sizes = {
            name: db.execute(
                f"select coalesce(sum({' + '.join(f'coalesce(length({chr(34)}{c}{chr(34)}),0)' for c in cs)}), 0) "
                f'from "{name}"'
            ).fetchone()[0]
            for name, cs in columns.items()
        }
    print(f"\n| table of {file.name} | rows | KB of values |\n|---|---|---|")
    for name in sorted(sizes, key=lambda name: -sizes[name])[:8]:
        print(f"| {name} | {rows[name]:,} | {sizes[name] / 1e3:,.0f} |")


def night(workspace: Workspace, folder: Path, slots: Sequence[Slot], due: int, given: argparse.Namespace) -> None:
    """Let one night happen between two looks at everything."""
    api = prefect_api(workspace)
    # full minutes ahead: hundreds of schedules are applied first
    at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2 + len(slots) // 150)
    write_settings(workspace.root, folder / "backbone", slots[:due], f"{at.minute} {at.hour} * * *", given)
    elp(workspace, "schedule", "apply", "--yes")
    first = answers(workspace)
    left = at.timestamp() - time.time()
    print(f"{len(slots)} slots, {due} due, {left:.0f} s before the night; load {os.getloadavg()[0]:.1f}", flush=True)
    time.sleep(max(0.0, left - 5))
    before = use(workspace)
    runs = wait(api, at, due, given.minutes)
    after = use(workspace)
    report_runs(workspace, api, runs, given.workers)
    report_use(before, after, max(1, len(runs)))
    report_tables(workspace.state / "prefect" / "prefect.db")
    last = answers(workspace)
    print("\n| what | before the night, s | after it, s |\n|---|---|---|")
    for name, value in last.items():
        print(f"| {name} | {first[name]:.2f} | {value:.2f} |")
    print(f"load at the end {os.getloadavg()[0]:.1f}", flush=True)


def main() -> None:
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
        folder = given.folder or Path(scratch)
        isolate(folder / "home", patch)
        workspace = make_plant(folder, slots, due, given)
        try:
            elp(workspace, "up")
            night(workspace, folder, slots, due, given)
        finally:
            elp(workspace, "down", "--yes")


if __name__ == "__main__":
    main()
