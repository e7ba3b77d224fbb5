"""Workers for the benchmarks of a fleet: each is an enrolled `elp worker` with a home of its own, as on a host."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import connect_prefect

ELP = (sys.executable, "-m", "pipelines.cli.main")
_ONLINE_WITHIN = 300.0


def elp(workspace: Workspace, *arguments: str) -> str:
    """Run a command of `elp` in a process of its own, and return what it prints."""
    done = subprocess.run([*ELP, *arguments], cwd=workspace.root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"elp {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def enrolled_worker(workspace: Workspace, home: Path, before: Sequence[str] = ()) -> Iterator[psutil.Process]:
    """Enrol a worker, and let its `elp worker` run while the block lasts; it is online when the block begins.

    Its name is that of its home. `before` is a command that starts another one, such as ``taskset``.
    """
    answer = json.loads(elp(workspace, "worker", "invite", home.name, "--json"))
    elp(workspace, "worker", "enrol", answer["address"], "--token", answer["token"], "--home", str(home))
    with (home / "printed.log").open("w") as log:
        # Ctrl-C is for the benchmark alone, which ends its workers after its report
        started = subprocess.Popen(
            [*before, *ELP, "worker", "--cpu", "--home", str(home)], stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_online(workspace, home)
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(120)


def _wait_until_online(workspace: Workspace, home: Path) -> None:
    ends = time.monotonic() + _ONLINE_WITHIN
    with connect_prefect(workspace) as client:
        while not any(
            worker.status == "ONLINE" and worker.name.startswith(f"{home.name}:")
            for worker in client.read_workers_for_work_pool("elp-gpu")
        ):
            if time.monotonic() > ends:
                raise SystemExit(f"the worker {home.name} did not come online\n{(home / 'printed.log').read_text()}")
            time.sleep(0.5)
