"""`elp backbone plan` over 5,000 versions of 100 slots, against a real guarded server: the function and the command."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from turns import take_turns

# the server and the rows of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import open_workspace
from pipelines.migration.migration_plan import plan_migration
from pipelines.registry.slot import Slot
from tests.support.console_pages import open_stores
from tests.support.guarded_server import guarded_server
from tests.support.registry_rows import fill

SLOTS = [Slot(f"plant-{number:02d}", task) for number in range(25) for task in ("asr", "asv", "ser", "sic")]
VERSIONS, TURNS = 50, 9


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch, pytest.MonkeyPatch.context() as patch:
        folder = Path(scratch)
        registry, tracking, _ = open_stores(folder, patch)
        fill(registry.engine, SLOTS, VERSIONS)
        for store in (registry, tracking):
            store.engine.dispose()
        place = folder / "workspace"
        init_workspace(place)
        with guarded_server(folder) as server:
            text = (place / "elp.yaml").read_text()
            (place / "elp.yaml").write_text(f"{text}\nservers: {{mlflow_uri: '{server.uri}'}}\n")
            workspace = open_workspace(place)
            command = [sys.executable, "-m", "pipelines.cli.main", "backbone", "plan", "org/new", "-w", str(place)]
            ways = {
                "plan, function": lambda: plan_migration(workspace, "org/new"),
                "elp backbone plan": lambda: subprocess.run(command, check=True, capture_output=True),
            }
            times = take_turns(ways, TURNS)
            found = plan_migration(workspace, "org/new")
    print(f"{found.versions:,} versions, {len(found.slots)} champions\n\n| what | median s | worst s |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
