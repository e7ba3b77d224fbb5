"""How many short runs the reaper falsely declares dead: `bench_short_runs.py --runs 10000`. It has to be none.

With `--out FILE` the result is added to a file, and the sum of all calls with this file is printed. SIGINT and SIGTERM
end it early: what was seen until then counts.

A real Prefect server, the real reaper (it looks every second, five times as often as the supervision), and a worker of
this file: it claims each run as Prefect's process worker does, and starts a shell for it that reports Running and
Completed to Prefect with curl. So a run costs hundredths of a processor second and thousands are possible. The moments
are random (seed printed): a process that lives on after its last report, one that ends before the report has arrived,
and pauses between claim and start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.local import http_client as web
from pipelines.local.foreground import Stopped, stop_signals
from pipelines.local.prefect_request import prefect_request
from pipelines.local.service_commands import prefect_command
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.reaper import Reaper, reap

WORKER = "elp-cpu-local"
TAGS = ("elp", "short")
_PATIENCE, _TIMEOUT = 300.0, 30.0
_AT_ONCE = 4


@contextmanager
def _prefect(folder: Path) -> Iterator[str]:
    port = web.free_port("127.0.0.1")
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "PREFECT_LOGGING_LEVEL": "ERROR"}
    with (folder / "server.log").open("wb") as log:
        # Ctrl-C is for this program, which ends the server
        server = subprocess.Popen(
            prefect_command("127.0.0.1", port), env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while not web.answers(f"http://127.0.0.1:{port}/api/health"):
            if server.poll() is not None:
                raise RuntimeError((folder / "server.log").read_text()[-2000:])
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _ask(url: str, body: Any = None, method: str | None = None) -> Any:
    """Send a request again while Prefect is busy: with SQLite it answers 503 then."""
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            return prefect_request(url, body, _TIMEOUT, method)
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def _deployment(api: str) -> str:
    _ask(f"{api}/work_pools/", {"name": "elp-cpu", "type": "process"})
    flow = _ask(f"{api}/flows/", {"name": "short"})["id"]
    made = {"name": "short", "flow_id": flow, "work_pool_name": "elp-cpu", "entrypoint": "short.py:short"}
    return str(_ask(f"{api}/deployments/", made)["id"])


def _report(api: str, run: str, state: str) -> str:
    """Return a shell command that reports a state, again until Prefect has taken it."""
    body = shlex.quote(json.dumps({"state": {"type": state}}))
    url = f"{api}/flow_runs/{run}/set_state"
    return f"curl -sf --retry 20 --retry-all-errors -o /dev/null -H 'Content-Type: application/json' -d {body} {url}"


def _one_run(api: str, deployment: str, pick: random.Random) -> str:
    """Do one short run as a worker and its process do it, and return the run's id."""
    made = _ask(f"{api}/deployments/{deployment}/create_flow_run", {"tags": list(TAGS)})
    run = str(made["id"])
    _ask(f"{api}/flow_runs/{run}/labels", {"prefect.worker.name": WORKER}, "PATCH")
    _ask(f"{api}/flow_runs/{run}/set_state", {"state": {"type": "PENDING"}})
    time.sleep(pick.uniform(0, 0.3))
    work, lives_on, late = pick.uniform(0, 0.3), pick.choice([0.0, 0.0, 1.0]) * pick.random(), pick.random() < 0.2
    done = _report(api, run, "COMPLETED")
    steps = [_report(api, run, "RUNNING"), f"sleep {work:.3f}", *([] if late else [done, f"sleep {lives_on:.3f}"])]
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": run}
    subprocess.run(["sh", "-c", "; ".join(steps)], env=environment, check=True)
    if late:
        # the report of a process that has ended is under way for a while
        time.sleep(pick.uniform(0, 3))
        subprocess.run(["sh", "-c", done], check=True)
    return run


def _watch(reaper: Reaper, api: str, stop: threading.Event, looks: Counter[str]) -> None:
    while not stop.wait(1.0):
        try:
            reap(reaper, api, {WORKER: os.getpid()}, time.monotonic())
            looks["looks"] += 1
        except OSError:
            looks["without an answer"] += 1


def _states(api: str, run: str) -> list[str]:
    """Return the names of the states of a run; Prefect's scheduler calls one Late that waits for its worker."""
    names = (str(state["name"]) for state in _ask(f"{api}/flow_run_states/?flow_run_id={run}"))
    return [name for name in names if name != "Late"]


def _dead(said: Sequence[str]) -> list[str]:
    """Return the lines of the reaper about runs whose state it changed; another line names what a process left."""
    return [line for line in said if "what was left is ended" not in line]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=240.0, help="begin no run after so many minutes")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--out", type=Path, help="file of the results, one line a call")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with stop_signals(), tempfile.TemporaryDirectory() as name, _prefect(folder := Path(name)) as api:
        (folder / "site" / ".elp").mkdir(parents=True)
        said: list[str] = []
        reaper = Reaper(Workspace(folder / "site", Settings()), TAGS, lambda _: None, said.append)
        deployment, looks, stop = _deployment(api), Counter[str](), threading.Event()
        watcher = threading.Thread(target=_watch, args=(reaper, api, stop, looks))
        watcher.start()
        begin = time.monotonic()
        wrong, done, ended = list[str](), 0, ""

        def once(number: int) -> list[str]:
            if time.monotonic() - begin > 60 * given.minutes:
                return []
            run = _one_run(api, deployment, random.Random(f"{given.seed} {number}"))
            return [run, *_states(api, run)]

        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for found in pool.map(once, range(given.runs)):
                    done += bool(found)
                    if found and found[1:] != ["Scheduled", "Pending", "Running", "Completed"]:
                        wrong.append(" ".join(found))
                    if done % 100 == 0 and found:
                        print(f"{done} runs, {len(wrong)} wrong, {len(_dead(said))} declared dead", flush=True)
        except (OSError, subprocess.CalledProcessError) as error:
            # on a machine that does too much else; what was seen until then counts
            ended = f"; ended early, since Prefect did not answer for long ({error})"
        except Stopped as signalled:
            ended = f"; ended early by {signalled}"
        else:
            # what the reaper would still do
            time.sleep(15)
        finally:
            stop.set()
            watcher.join()
        minutes = (time.monotonic() - begin) / 60
        print(
            f"{done} short runs in {minutes:.1f} min, {looks['looks']} looks ({looks['without an answer']} without an "
            f"answer): {len(_dead(said))} declared dead, {len(wrong)} with other states{ended}",
            *_dead(said)[:5], *wrong[:5], sep="\n",
        )  # fmt: skip
    counted = {"runs": done, "declared dead": len(_dead(said)), "other states": len(wrong), **looks}
    if given.out:
        _add(given.out, {"seed": given.seed, "minutes": round(minutes, 1), **counted})
    return 1 if _dead(said) or wrong else 0


def _add(path: Path, result: dict[str, float]) -> None:
    """Add a result to a file, and print the sum of all that it has."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    total = Counter[str]()
    for line in path.read_text(encoding="utf-8").splitlines():
        total.update({name: value for name, value in json.loads(line).items() if name != "seed"})
    print(f"all calls: {', '.join(f'{name} {value:g}' for name, value in total.items())}")


if __name__ == "__main__":
    sys.exit(main())
