"""A workspace of many slots with a real Prefect server and no workers, for what is asked of the server alone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.local import http_client as web
from pipelines.local.environment import child_environment
from pipelines.local.initialise import init_workspace
from pipelines.local.processes import start, stop
from pipelines.local.service_commands import prefect_command
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.deployments import register_deployments
from tests.support.new_databases import new_prefect_database


@contextmanager
def scheduled_workspace(folder: Path, slots: list[str]) -> Iterator[tuple[Workspace, str]]:
    """Yield the workspace and the address of its Prefect API; each slot has the tag of a dataset version."""
    workspace = init_workspace(folder / "plant")
    tag_slots(workspace, slots)
    port = web.free_port("127.0.0.1")
    address = f"http://127.0.0.1:{port}"
    environment = child_environment(
        {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5"}
    )
    new_prefect_database(folder / "prefect")
    process = start("prefect", prefect_command("127.0.0.1", port), environment, folder / "prefect.log", address)
    try:
        deadline = time.monotonic() + 300
        while not web.answers(f"{address}/api/health"):
            assert time.monotonic() < deadline, (folder / "prefect.log").read_text()
            time.sleep(0.2)
        write_settings(workspace, f"servers: {{prefect_api: {address}/api}}\n")
        workspace = open_workspace(workspace.root)
        register_deployments(workspace, f"{address}/api")
        yield workspace, f"{address}/api"
    finally:
        stop([process])


def tag_slots(workspace: Workspace, slots: list[str]) -> None:
    """Give each slot the tag of its first dataset version."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=workspace.root, check=True, capture_output=True, text=True
    ).stdout.strip()
    lines = "".join(f"create refs/tags/data/{slot}/v1 {head}\n" for slot in slots)
    subprocess.run(["git", "update-ref", "--stdin"], cwd=workspace.root, check=True, input=lines, text=True)


def write_settings(workspace: Workspace, text: str) -> None:
    """Put text in the place of what was written so before; the settings of the workspace itself stay."""
    path = workspace.root / "elp.yaml"
    path.write_text(path.read_text("utf-8").partition("# of the test\n")[0] + "# of the test\n" + text, "utf-8")
