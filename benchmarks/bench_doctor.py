"""The round trips of `elp doctor` on real servers: PostgreSQL twice, SeaweedFS twice, OpenSSH; and on one that hangs.

Each row is one call in a process of its own that has imported nothing of it, as the command has not either; then the
median of five more calls. The servers are on the same machine, so the network costs nothing.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

# the servers of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

from pipelines.datasets.remote_finding import examine_remote
from pipelines.local.initialise import init_workspace
from pipelines.local.profiles import Profile
from pipelines.local.server_store_checks import server_store_checks
from pipelines.local.workspace import Workspace, open_workspace
from tests.support.object_store import OWNER, object_store, write_secrets
from tests.support.postgres import postgres_server
from tests.support.ssh_server import ssh_server
from tests.support.workspaces import isolate

TURNS = 5


def measure(root: Path, name: str) -> tuple[float, float, str]:
    """Return the seconds of the first call of a check, the median of the next ones, and what it found."""
    workspace = open_workspace(root)
    checks: dict[str, Callable[[Workspace], tuple[str, str, str]]] = {
        "dvc remote": examine_remote,
        **server_store_checks(workspace),
    }
    times, outcome = [], ""
    for _ in range(TURNS + 1):
        started = time.perf_counter()
        outcome = checks[name](workspace)[0]
        times.append(time.perf_counter() - started)
    return times[0], statistics.median(times[1:]), outcome


def show(workspace: Workspace, names: dict[str, str]) -> float:
    """Print a row for each check of a workspace; return the sum of the first calls."""
    total = 0.0
    for name, title in names.items():
        with get_context("spawn").Pool(1) as pool:
            first, again, outcome = pool.apply(measure, (workspace.root, name))
        total += first
        print(f"| {title} | {outcome} | {first:.2f} | {again:.2f} |", flush=True)
    return total


def main() -> None:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="elp-doctor-")))
        isolate(folder / "home", patch)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        store, postgres = stack.enter_context(object_store()), stack.enter_context(postgres_server())
        ssh = stack.enter_context(ssh_server())
        ssh.let_in(Path(os.environ["HOME"]))
        store.bucket("speech")
        databases = (postgres.database("mlflow"), postgres.database("prefect"))
        team = Profile("s3://speech/data", "", "", databases, "s3://speech/artifacts", store.endpoint)
        made = init_workspace(folder / "team", profile=team)
        write_secrets(made.state, OWNER.data_environment() | OWNER.artifacts_environment())
        other = init_workspace(folder / "ssh", profile=Profile(f"{ssh.address}{folder}/remote"))
        print(f"load before: {os.getloadavg()[0]:.1f}\n")
        print("| round trip | found | first s | again s |\n|---|---|---|---|")
        total = show(
            open_workspace(made.root),
            {
                "mlflow database": "PostgreSQL of MLflow",
                "prefect database": "PostgreSQL of Prefect",
                "artifacts": "SeaweedFS, artifacts",
                "dvc remote": "SeaweedFS, DVC remote",
            },
        )
        print(f"| these four, one after another | | {total:.2f} | |")
        show(other, {"dvc remote": "OpenSSH, DVC remote"})
        store.signal(signal.SIGSTOP)
        show(open_workspace(made.root), {"artifacts": "SeaweedFS that hangs, artifacts"})
        store.signal(signal.SIGCONT)


if __name__ == "__main__":
    main()
