"""Schedules of 600 slots on a real Prefect server with SQLite: apply, apply again, change, list; starts a minute.

The schedules are those of one entry, nightly with a spread of 90 minutes. Nothing else runs on the server but its own
planner, which makes 1,800 runs meanwhile. Times of one call each, of lists and plans the median of five.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

# the workspace with a server of the tests is in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from pipelines.local.schedule_settings import read_entries
from pipelines.local.workspace import Workspace
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.schedule_apply import apply_schedules, plan_apply
from pipelines.orchestration.schedule_list import read_schedules
from pipelines.orchestration.schedule_plan import busiest_minute, planned_starts
from pipelines.orchestration.slot_deployments import server_now
from pipelines.registry.slot import Slot
from tests.support.scheduled_workspace import scheduled_workspace
from tests.support.workspaces import isolate

SLOTS = [Slot(f"plant-{number:03d}", task) for number in range(200) for task in ("asr", "asv", "ser")]
TURNS = 5


def entry(cron: str = "0 2 * * *", spread: str = "90m"):
    """Return the entry of all slots."""
    return read_entries({"nightly": {"slots": "plant-*/*", "cron": cron, "spread": spread}}, {})


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(workspace: Workspace, api: str) -> None:
    """Print the times on a server that has no schedules yet."""

    def apply(cron: str = "0 2 * * *") -> None:
        apply_schedules(workspace, api, entry(cron), server_now(api))

    print(f"| apply, {len(SLOTS)} new slots | {seconds(apply):.1f} s |")
    print(f"| apply again, nothing changes | {seconds(apply):.1f} s |")
    print(f"| apply, every slot changes | {seconds(lambda: apply('0 3 * * *')):.1f} s |")
    plan = [seconds(lambda: plan_apply(workspace, api, entry("0 3 * * *"), server_now(api))) for _ in range(TURNS)]
    print(f"| the difference | {statistics.median(plan):.2f} s |")
    listed = [seconds(lambda: read_schedules(workspace, api, entry("0 3 * * *"))) for _ in range(TURNS)]
    print(f"| `elp schedule list` | {statistics.median(listed):.2f} s |")
    print(f"| the deployments in `elp up` | {seconds(lambda: register_deployments(workspace, api)):.1f} s |")


def main() -> None:
    """Print both tables."""
    print("| spread | most starts in a minute |\n|---|---|")
    for spread in ("0s", "30m", "90m", "4h"):
        starts = planned_starts(entry(spread=spread)[0], SLOTS, datetime(2026, 6, 1, tzinfo=UTC), most=1)
        print(f"| {spread} | {busiest_minute(starts)} |")
    print("\n| what | time |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch, pytest.MonkeyPatch.context() as patch:
        isolate(Path(scratch) / "home", patch)
        with scheduled_workspace(Path(scratch), [str(slot) for slot in SLOTS]) as (workspace, api):
            measure(workspace, api)


if __name__ == "__main__":
    main()
