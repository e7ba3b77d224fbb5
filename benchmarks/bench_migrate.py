"""A change of the backbone, against a real guarded server: the plan over 5,000 versions of 100 slots, and the way back.

The plan and the way back are measured as a function and as a command; the command also commits `elp.yaml` and pushes it
to a bare repository. The switch and the way back move four champions of a site with real bundles (of a golden, without
torch) in one ledger entry each; every turn is two of both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from turns import take_turns

# the server and the rows of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import open_workspace
from pipelines.migration.backbone_settings import write_backbones
from pipelines.migration.migration_plan import plan_migration
from pipelines.registry.client.backbones import state_site_migration, switch_site_back, switch_site_to
from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.slot import Slot
from tests.support.console_pages import open_stores
from tests.support.git_servers import shared_workspace
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.registry_rows import fill
from tests.support.rest import Rest
from tests.support.versions_by_hand import gate, promote, register

TASKS = ("asr", "asv", "ser", "sic")
SLOTS = [Slot(f"plant-{number:02d}", task) for number in range(25) for task in TASKS]
VERSIONS, TURNS, NEW = 50, 9, "sha256:" + "9" * 64


def measure_plan(folder: Path, server: GuardedServer) -> dict[str, list[float]]:
    """Plan over all sites."""
    place = init_workspace(folder / "workspace").root
    text = (place / "elp.yaml").read_text()
    (place / "elp.yaml").write_text(f"{text}\nservers: {{mlflow_uri: '{server.uri}'}}\n")
    workspace = open_workspace(place)
    command = [sys.executable, "-m", "pipelines.cli.main", "backbone", "plan", "org/new", "-w", str(place)]
    found = plan_migration(workspace, "org/new")
    print(f"{found.versions:,} versions, {len(found.slots)} champions to move\n")
    ways = {
        "plan, function": lambda: plan_migration(workspace, "org/new"),
        "elp backbone plan": lambda: subprocess.run(command, check=True, capture_output=True),
    }
    return take_turns(ways, TURNS)


def measure_switch(folder: Path, server: GuardedServer) -> dict[str, list[float]]:
    """Switch a site of four slots and bring it back, in this process and by the command."""
    workspace = shared_workspace(folder / "shared" / "workspace", f"servers: {{mlflow_uri: '{server.uri}'}}\n")
    site, rest, keys = "plant-switch", Rest(server.uri), load_trusted_keys(server.keys)
    versions: dict[Slot, int] = {}
    for task in TASKS:
        slot = Slot(site, task)
        former = register(rest, slot.model_name, f"{task} old", lineage=keys, backbone="elp:tiny")
        gate(rest, former, "passed", None, keys)
        promote(rest, former)
        made = register(rest, slot.model_name, f"{task} new", lineage=keys, fingerprint=NEW)
        gate(rest, made, "passed", former, keys)
        versions[slot] = made.version
    state_site_migration(server.uri, site, "org/new", NEW, "a measurement")
    times: dict[str, list[float]] = {"switch of 4 slots": [], "back": [], "elp backbone back": []}
    command = [sys.executable, "-m", "pipelines.cli.main", "backbone", "back", site, "-w", str(workspace.root)]
    for _ in range(TURNS):
        began = time.perf_counter()
        switch_site_to(server.uri, site, "org/new", NEW, versions, again=True)
        times["switch of 4 slots"].append(time.perf_counter() - began)
        began = time.perf_counter()
        switch_site_back(server.uri, site)
        times["back"].append(time.perf_counter() - began)
        switch_site_to(server.uri, site, "org/new", NEW, versions, again=True)
        write_backbones(workspace, {str(slot): "org/new" for slot in versions}, f"{site}: org/new")
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times["elp backbone back"].append(time.perf_counter() - began)
    return times


def show(times: Mapping[str, Sequence[float]]) -> None:
    """Print the rows of a table."""
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.3f} | {max(values):.3f} |")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch, pytest.MonkeyPatch.context() as patch:
        folder = Path(scratch)
        registry, tracking, _ = open_stores(folder, patch)
        fill(registry.engine, SLOTS, VERSIONS)
        for store in (registry, tracking):
            store.engine.dispose()
        with guarded_server(folder) as server:
            plans, switches = measure_plan(folder, server), measure_switch(folder, server)
    print("| what | median s | worst s |\n|---|---|---|")
    show(plans)
    show(switches)


if __name__ == "__main__":
    main()
