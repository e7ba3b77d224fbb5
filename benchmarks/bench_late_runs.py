"""Many runs that wait for a worker on a Prefect server with SQLite, as `elp up` starts it and as Prefect starts it.

    python benchmarks/bench_late_runs.py [--runs 60] [--seconds 90]

Runs are due and no worker takes them, so that the server marks each one as late; meanwhile four workers report and ask
for runs once a second, and four flow runs report their tasks, as fast as they get answers with pauses of 0.3 s. Both
servers are measured one after the other. Counted are the late runs after the time, transactions that failed at a lock,
requests that were refused, and the answers; look at the load, too.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.local import http_client as web
from pipelines.local.prefect_request import prefect_request
from pipelines.local.service_commands import prefect_command

_POOL = "elp-cpu"
_PATIENCE = 90.0


@dataclass
class Seen:
    """What the clients of a server have seen."""

    seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def ask(self, url: str, body: Any = None) -> Any:
        """Send a request and note how long it took, or why it failed."""
        began = time.monotonic()
        try:
            answer = prefect_request(url, body, _PATIENCE)
        except OSError as error:
            self.refused.append(str(error))
            return None
        self.seconds.append(time.monotonic() - began)
        return answer


@contextmanager
def server(command: Sequence[str], port: int, folder: Path) -> Iterator[str]:
    """Run a server with a database of its own; yield the address of its API."""
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "PREFECT_LOGGING_LEVEL": "ERROR"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        while not web.answers(f"http://127.0.0.1:{port}/api/health"):
            if process.poll() is not None:
                raise SystemExit((folder / "server.log").read_text()[-2000:])
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.terminate()
        process.wait(60)


def make_runs(api: str, runs: int) -> list[str]:
    """Return the ids of runs that are due now."""
    prefect_request(f"{api}/work_pools/", {"name": _POOL, "type": "process"}, _PATIENCE)
    flow = prefect_request(f"{api}/flows/", {"name": "waiting"}, _PATIENCE)["id"]
    content = {"name": "waiting", "flow_id": flow, "work_pool_name": _POOL, "entrypoint": "waiting.py:waiting"}
    made = prefect_request(f"{api}/deployments/", content, _PATIENCE)["id"]
    url, due = f"{api}/deployments/{made}/create_flow_run", {"state": {"type": "SCHEDULED"}}
    return [str(prefect_request(url, due, _PATIENCE)["id"]) for _ in range(runs)]


def poll(api: str, seen: Seen, name: str, stop: threading.Event) -> None:
    """Report and ask for runs as a worker does, and take none."""
    while not stop.wait(1.0):
        seen.ask(f"{api}/work_pools/{_POOL}/workers/heartbeat", {"name": name})
        seen.ask(f"{api}/work_pools/{_POOL}/get_scheduled_flow_runs", {"limit": 1})


def report_tasks(api: str, seen: Seen, runs: Sequence[str], stop: threading.Event) -> None:
    """Report tasks as flow runs do, each begun and completed."""
    for number, run in enumerate(itertools.cycle(runs)):
        if stop.wait(0.3):
            return
        task = {"task_key": "step", "dynamic_key": str(number), "flow_run_id": run, "state": {"type": "RUNNING"}}
        if made := seen.ask(f"{api}/task_runs/", task):
            seen.ask(f"{api}/task_runs/{made['id']}/set_state", {"state": {"type": "COMPLETED"}})


def measure(name: str, command: Callable[[str, int], Sequence[str]], runs: int, seconds: float) -> str:
    """Return a row of the table."""
    port = web.free_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as scratch:
        with server(command("127.0.0.1", port), port, Path(scratch)) as api:
            made, seen, stop = make_runs(api, runs), Seen(), threading.Event()
            work = [partial(poll, api, seen, f"worker-{n}", stop) for n in range(4)]
            work += [partial(report_tasks, api, seen, made[n::4], stop) for n in range(4)]
            threads = [threading.Thread(target=each) for each in work]
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            late = {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}}
            marked = prefect_request(f"{api}/flow_runs/count", late, _PATIENCE)
            stop.set()
            for thread in threads:
                thread.join()
        locked = (Path(scratch) / "server.log").read_text(errors="replace").count("sqlite3.OperationalError: database")
    times = f"{statistics.median(seen.seconds):.2f} (longest {max(seen.seconds):.1f})"
    return f"| {name} | {marked} of {runs} | {locked} | {len(seen.refused)} | {len(seen.seconds)} | {times} |"


def plain_command(host: str, port: int) -> list[str]:
    """Return Prefect's own command."""
    return [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", host, "--port", str(port)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=90.0)
    given = parser.parse_args()
    print(
        "| server | marked late | failed at a lock | refused | answers | median answer, s |\n|---|---|---|---|---|---|"
    )
    for name, command in (("Prefect's", plain_command), ("of `elp up`", prefect_command)):
        print(measure(name, command, given.runs, given.seconds), flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
