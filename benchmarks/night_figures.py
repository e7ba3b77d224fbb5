"""The figures of a night: what the plant has used, how long its answers take, and how its runs went."""

from __future__ import annotations

import resource
import sqlite3
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from night_plant import NightPlant
from worker_hosts import elp

from pipelines.local.addresses import MLFLOW, PREFECT, mlflow_uri, read_record
from pipelines.local.supervision import SUPERVISOR
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import connect_prefect, read_outcome

TURNS = 5


@dataclass(frozen=True)
class Use:
    """What the plant has used so far."""

    cpu: Mapping[str, float]
    """Seconds of each service, with the processes that it started."""
    disk: Mapping[str, int]
    """Bytes of each store."""


def use(plant: NightPlant, workspace: Workspace, workers: Sequence[psutil.Process]) -> Use:
    """Look at processes and folders, which change meanwhile."""
    record, state = read_record(workspace), workspace.state
    services = {"Prefect server": PREFECT, "MLflow server": MLFLOW, "supervision": SUPERVISOR}
    cpu = {title: cpu_seconds([record.find(name).pid]) for title, name in services.items()}
    cpu["workers and their runs"] = cpu_seconds([worker.pid for worker in workers])
    files = {
        "mlflow.db": state.glob("mlflow.db*"),
        "prefect.db": (state / "prefect").glob("prefect.db*"),
        "Git server": plant.git_server.rglob("*"),
        "DVC remote": plant.remote.rglob("*"),
        "artifacts": (state / "mlflow-artifacts").rglob("*"),
        "homes of the workers (clones, caches)": (plant.folder / "workers").rglob("*"),
        "logs of the servers": (state / "logs").rglob("*"),
    }
    return Use(cpu, {name: sum(map(file_bytes, found)) for name, found in files.items()})


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes and of all that they started, also of what has ended."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            for process in (found := psutil.Process(pid), *found.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += sum(process.cpu_times()[:4])
    return total


def file_bytes(path: Path) -> int:
    """Return the bytes of a file; 0 for a folder, and for a file that is gone."""
    with suppress(FileNotFoundError):
        return path.lstat().st_size if path.is_file() else 0
    return 0


def answers(workspace: Workspace, slot: str) -> dict[str, float]:
    """Return the median seconds of pages and commands, and the CPU seconds of the commands; `slot` has a page."""
    uri, times = mlflow_uri(workspace), {}
    pages = {
        "console: first page": "/elp/",
        **({"console: page of a slot": f"/elp/slots/{slot}"} if slot else {}),
        "console: all data": "/elp/data/",
        "/elp/metrics": "/elp/metrics",
    }
    for name, path in pages.items():
        times[name] = statistics.median(seconds(partial(fetch, uri + path)))
    for command in (("status",), ("schedule", "list")):
        name, before = " ".join(("elp", *command)), child_seconds()
        times[name] = statistics.median(seconds(partial(elp, workspace, *command)))
        times[f"{name}, CPU"] = (child_seconds() - before) / TURNS
    return times


def child_seconds() -> float:
    """Return the CPU seconds of the commands that this process has waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


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


def moment(text: str) -> float:
    """Return a moment of Prefect in seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def middle(name: str, values: Sequence[float]) -> str:
    """Return a line of the table with the median and the range."""
    return f"| {name} | {statistics.median(values):.1f} ({min(values):.1f} … {max(values):.1f}) |"


def report_runs(workspace: Workspace, api: str, runs: Sequence[dict[str, Any]], workers: int, together: int) -> None:
    """Print how the runs ended, how late they were and how long they took beyond their trainings."""
    states = sorted({f"{run['state_name']}: {sum(r['state_name'] == run['state_name'] for r in runs)}" for run in runs})
    print(f"\n{len(runs)} runs ended ({', '.join(states)})\n\n| what | median s (range) |\n|---|---|")
    begun = [run for run in runs if run["start_time"]]
    if not begun:
        print("| none has begun | |")
        return
    late = sorted(moment(run["start_time"]) - moment(run["expected_start_time"]) for run in begun)
    print(middle(f"due to started, the first {workers}", late[:workers]))
    print(middle("due to started, all (they wait for a worker)", late))
    with connect_prefect(workspace, api) as client:
        records = {run["id"]: read_outcome(client, run["id"]) for run in begun if run["state_type"] == "COMPLETED"}
    whole = {run["id"]: moment(run["end_time"]) - moment(run["start_time"]) for run in begun}
    trained = {name: one.adapter.metrics["train_seconds"] for name, one in records.items() if one.adapter}
    if trained:
        print(middle("a run, start to end", [whole[name] for name in trained]))
        print(middle("of it the training function (of its whole pass)", list(trained.values())))
        if together == 1:
            print(middle("of it overhead", [whole[name] - took for name, took in trained.items()]))
    took = max(moment(run["end_time"]) for run in begun) - min(moment(run["expected_start_time"]) for run in begun)
    print(f"| time of a worker a run, overhead and idle time included | {workers * took / len(begun):.1f} |")
    print(
        f"\nthe night took {took / 60:.1f} minutes with {workers} workers, {took / len(begun):.1f} s a run", flush=True
    )


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
    with closing(sqlite3.connect(file, timeout=60.0)) as db:
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
