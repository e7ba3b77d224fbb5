"""Servers and a worker with slots that become due by schedules, for what a night of a fleet does."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.datasets.ingest import add_delivery
from pipelines.local import lifecycle
from pipelines.local.addresses import mlflow_uri, prefect_api
from pipelines.local.initialise import init_workspace
from pipelines.local.prefect_request import prefect_request
from pipelines.local.profiles import Profile
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.schedule_apply import apply_schedules
from pipelines.orchestration.slot_deployments import change_starts, read_slot_deployments, server_now
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.main_job import SETTINGS
from tests.support.object_store import write_secrets
from tests.support.workspaces import delivery

LAPTOP = Profile()
SCHEDULES = 'schedules: {nightly: {slots: "*/asr", cron: "0 2 * * *"}}\n'


@dataclass
class Night:
    """A workspace whose servers run, with slots that have data and a schedule.

    As far as the supervision knows, no schedules were applied: it would put the starts right again.
    """

    workspace: Workspace
    api: str

    def start(self, *sites: str) -> dict[str, str]:
        """Let some slots become due at the same moment; return their runs by site, when Prefect has planned them."""
        at = server_now(self.api) + timedelta(seconds=6)
        for one in read_slot_deployments(self.workspace, self.api):
            if one.slot.removesuffix("/asr") in sites:
                starts = [at, at + timedelta(days=1)]
                change_starts(self.api, one, one.declared[0], one.declared[0].entry, starts)
        wanted = {
            "flow_runs": {
                "tags": {"all_": ["auto-scheduled"]},
                "expected_start_time": {
                    "after_": (at - timedelta(seconds=1)).isoformat(),
                    "before_": (at + timedelta(seconds=1)).isoformat(),
                },
            }
        }
        found: dict[str, str] = {}

        def planned() -> bool:
            # not before the time: the planner may replace a planned run
            runs = prefect_request(f"{self.api}/flow_runs/filter", wanted, 60.0) if datetime.now(UTC) > at else []
            found.update({one["parameters"]["slot"].removesuffix("/asr"): one["id"] for one in runs})
            return found.keys() == set(sites)

        eventually(planned)
        return found

    def run(self, run: str) -> Any:
        return prefect_request(f"{self.api}/flow_runs/{run}", None, 60.0)

    def states(self, runs: dict[str, str]) -> dict[str, str]:
        return {site: self.run(one)["state_name"] for site, one in runs.items()}

    def history(self, run: str) -> list[str]:
        found = prefect_request(f"{self.api}/flow_run_states/?flow_run_id={run}", None, 60.0)
        return [state["name"] for state in sorted(found, key=lambda state: state["timestamp"])]

    def log(self, run: str) -> str:
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in prefect_request(f"{self.api}/logs/filter", wanted, 60.0))

    def tasks(self, run: str) -> dict[str, str]:
        wanted = {"flow_runs": {"id": {"any_": [run]}}}
        found = prefect_request(f"{self.api}/task_runs/filter", wanted, 60.0)
        return {task["name"].split()[0]: task["state_name"] for task in found}

    def wait(self, runs: dict[str, str]) -> dict[str, str]:
        ended = {"Completed", "Refused", "Undecided", "Failed"}
        eventually(lambda: set(self.states(runs).values()) <= ended, 600)
        return self.states(runs)

    def lineages(self, site: str) -> list[Any]:
        client = connect(mlflow_uri(self.workspace))
        found = []
        for version in model_registry.list_versions(client, Slot(site, "asr")):
            found.append(json.loads((self.bundle(version.key) / "lineage.json").read_text()))
        return found

    def bundle(self, key: str) -> Path:
        """Where the worker of this machine keeps the bundle of a training."""
        return self.workspace.cache / "bundles" / key / "bundle"


def eventually(found: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.3)


@contextmanager
def night_of(
    folder: Path,
    sites: Sequence[str],
    settings: str,
    profile: Profile = LAPTOP,
    secrets: dict[str, str] | None = None,
) -> Iterator[Night]:
    """Yield a workspace whose servers run; each site has a slot of speech recognition with data and a schedule."""
    from elp_core.testing import save_tiny

    save_tiny(folder / "backbone")
    workspace = init_workspace(folder / "site", profile=profile)
    text = f"remote: {profile.remote}\n{SCHEDULES}{settings}{SETTINGS.format(backbone=folder / 'backbone')}"
    (workspace.root / "elp.yaml").write_text(text, encoding="utf-8")
    subprocess.run(["git", "-C", str(workspace.root), "commit", "-q", "-am", "Set it up"], check=True)
    if secrets:
        write_secrets(workspace.state, secrets)
    workspace = open_workspace(workspace.root)
    source = delivery(folder / "delivery")
    for site in sites:
        add_delivery(workspace, Slot(site, "asr"), source)
    try:
        lifecycle.up(workspace, register_deployments, log=lambda _: None)
        api = prefect_api(workspace)
        apply_schedules(workspace, api, workspace.settings.schedule_entries(), server_now(api))
        yield Night(workspace, api)
    finally:
        lifecycle.down(workspace, log=lambda _: None)
