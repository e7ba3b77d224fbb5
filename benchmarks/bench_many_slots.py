"""What a command, the planning of schedules and a page cost with 12, 60 and 600 slots, in CPU seconds.

    python benchmarks/bench_many_slots.py [--sizes 12 60 600] [--before]

The slots are copies of three real ones, with two versions each in the registry of a real guarded server, whose CPU
seconds are those of a page. `--before` adds the former ways to track and to fetch a folder, with DVC's
index of all `.dvc` files, in turn with those of today.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# the deliveries of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import pytest
from night_plant import fill_night, night_slots, write_night_delivery

from pipelines.datasets import dvc, file_cache
from pipelines.datasets.data_slots import slots_with_data
from pipelines.datasets.expectations import import_great_expectations
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.versions import load_golden, load_training_data
from pipelines.local.dvc_repository import dvc_errors, dvc_repository
from pipelines.local.initialise import init_workspace
from pipelines.local.schedule_settings import read_entries
from pipelines.local.workspace import Workspace
from pipelines.orchestration.schedule_plan import planned_starts
from pipelines.registry.slot import Slot
from tests.support.console_pages import open_stores
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.registry_rows import fill
from tests.support.workspaces import isolate

TURNS = 3
held: dict[tuple[str, Path], list[Path]] = {}
"""What `whole_fetch` has fetched."""


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, in this process and in those that it waits for, such as Git."""
    before = os.times()
    work()
    return sum(os.times()[:4]) - sum(before[:4])


def whole_track(root: Path, folders: list[Path]) -> dict[Path, str]:
    """Track folders with an index of the whole workspace, as formerly."""
    with dvc_repository(root, "add") as repository:
        repository.add([str(root / folder) for folder in folders])
    return {folder: dvc.tracked_hash((root / dvc.metafile(folder)).read_text(encoding="utf-8")) for folder in folders}


def whole_fetch(repository: str, revision: str, path: Path, cache: Path) -> list[Path]:
    """Fetch a folder through DVC's file system, which has an index of the whole revision, as formerly."""
    # a listing that was fetched is not fetched again, then as now
    if places := held.setdefault((str(cache), path), []):
        return places
    with dvc_errors("fetch", Path(repository)):
        from dvc.api import DVCFileSystem

        system = DVCFileSystem(repository, rev=revision, config={"core": {"site_cache_dir": str(cache / "dvc")}})
        for name, info in sorted(system.find(path.as_posix(), detail=True).items()):
            places.append(cache / f"{info['md5']}.parquet")
            if not places[-1].is_file():
                system.get_file(name, str(places[-1]))
        system.repo.close()
    return places


@contextmanager
def as_before():
    """Use the former ways while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dvc, "track", whole_track)
        patch.setattr(file_cache, "fetch_folder", whole_fetch)
        yield


def measure(workspace: Workspace, scratch: Path, before: bool) -> None:
    """Print a line for each way."""
    slot, numbers, times = Slot("plant-000", "asr"), itertools.count(100), {}

    def intake() -> None:
        add_delivery(workspace, slot, deliveries.pop())

    def read() -> None:
        cache = scratch / f"cache-{next(numbers)}"
        (cache / "dvc").mkdir(parents=True)
        load_training_data(str(workspace.root), "latest", slot, cache)
        load_golden(str(workspace.root), "latest", slot, cache)

    deliveries = [write_night_delivery(scratch / f"more-{number}", number) for number in range(20, 22 + 2 * TURNS)]
    intake()
    for _ in range(TURNS):
        for name, way in (("intake of 48 clips", intake), ("a version and its golden set", read)):
            times.setdefault(name, []).append(cpu(way))
            if before:
                with as_before():
                    times.setdefault(f"{name}, as before", []).append(cpu(way))
    for name, values in times.items():
        print(
            f"  {name}: {statistics.median(values):.2f} s of CPU ({min(values):.2f} to {max(values):.2f})", flush=True
        )


def measure_whole(workspace: Workspace, slots: list[Slot], scratch: Path) -> None:
    """Print what concerns all slots: `elp status`, the planning of schedules, and the pages of a server."""
    (entry,) = read_entries({"nightly": {"slots": "plant-*/*", "cron": "0 2 * * *", "spread": "90m"}}, {})
    folder = scratch / "server"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        registry, tracking, _ = open_stores(folder, patch)
        fill(registry.engine, slots, 2)
        for store in (registry, tracking):
            store.engine.dispose()

    def plan() -> None:
        planned_starts(entry, slots_with_data(workspace.root), datetime(2026, 6, 1, tzinfo=UTC))

    def status() -> None:
        command = [sys.executable, "-m", "pipelines.cli.main", "status"]
        subprocess.run(command, cwd=workspace.root, capture_output=True)

    with guarded_server(folder) as server:
        (workspace.root / "elp.yaml").write_text(f"remote: .elp/remote\nservers: {{mlflow_uri: '{server.uri}'}}\n")
        ways = {"planning of the schedules": plan, "`elp status`": status}
        times = {name: [cpu(way) for _ in range(TURNS)] for name, way in ways.items()}
        for name, path in (("console's first page", "/elp/"), ("`/elp/metrics`", "/elp/metrics")):
            # the first one fills the caches of the server
            times[name] = [_server_cpu(server, path) for _ in range(TURNS + 1)][1:]
    for name, values in times.items():
        print(
            f"  {name}: {statistics.median(values):.2f} s of CPU ({min(values):.2f} to {max(values):.2f})", flush=True
        )


def _server_cpu(server: GuardedServer, path: str) -> float:
    """Return the CPU seconds of the server for ten answers, divided by ten."""
    processes = [found := psutil.Process(server.pid), *found.children(recursive=True)]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    for _ in range(10):
        with urllib.request.urlopen(server.uri + path, timeout=60) as answer:
            answer.read()
    return (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 60, 600], help="slots, each a multiple of three")
    parser.add_argument("--before", action="store_true")
    given = parser.parse_args()
    import_great_expectations()
    for size in given.sizes:
        with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch, pytest.MonkeyPatch.context() as patch:
            isolate(Path(scratch) / "home", patch)
            workspace = init_workspace(Path(scratch) / "plant")
            fill_night(workspace, night_slots(size // 3), 0, Path(scratch))
            print(f"{size} slots", flush=True)
            measure(workspace, Path(scratch), given.before)
            measure_whole(workspace, night_slots(size // 3), Path(scratch))


if __name__ == "__main__":
    main()
