"""Following a run: its log lines and changes of state as they come, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.orchestration.prefect_api import FlowRun, read_logs, read_run, workers_online

Log = Callable[[str], None]

_PATIENCE: Seconds = 30.0
"""How long a run may wait for a worker before that is said."""
_OUTAGE: Seconds = 180.0
"""How long Prefect may be silent before following ends."""
_NOISE = (
    "Finished in state", "Downloading flow code", "Beginning flow run", "View at ",
    # the run's last message says it again
    "Encountered exception during execution", "Engine execution exited with unexpected exception",
)  # fmt: skip
"""Starts of Prefect's own lines that say nothing to somebody who follows one run."""


def follow(api: str, run: FlowRun, pool: str, log: Log, every: Seconds = 1.0) -> FlowRun:
    """Report a run's log and states to `log` until it has ended; stopping to follow does not stop the run.

    Args:
        api: Address of the Prefect API.
        run: The run.
        pool: Work pool it runs on: where no worker takes it, that is said.
        log: Takes one line at a time.
        every: Time between looks.

    Raises:
        ServiceError: where Prefect is silent for three minutes.
    """
    seen, state, started, told = 0, "", time.monotonic(), False
    heard = started
    while True:
        try:
            run = read_run(api, run.id)
            seen += _report(api, run.id, seen, log)
            heard = time.monotonic()
        except ServiceError:
            if time.monotonic() - heard > _OUTAGE:
                raise
            time.sleep(every)
            continue
        if run.ended:
            time.sleep(2 * every)  # a run's last lines reach Prefect after its final state
            _report(api, run.id, seen, log)
            return run
        if run.state != state:
            log(f"{run.name}: {run.state}")
            state = run.state
        waiting = run.state_type in {"SCHEDULED", "PENDING"} and time.monotonic() - started > _PATIENCE
        if waiting and not told:
            log(_why_waiting(api, pool))
            told = True
        time.sleep(every)


def _report(api: str, run_id: str, seen: int, log: Log) -> int:
    """Pass on the log lines that are new; how many they were."""
    count = 0
    while lines := read_logs(api, run_id, seen + count):
        count += len(lines)
        for line in lines:
            if not line.message.startswith(_NOISE):
                # the traceback stays in Prefect's UI
                said = line.message.split("\nTraceback (most recent call last)")[0]
                log(said if line.level == "info" else f"{line.level}: {said}")
        if len(lines) < 200:
            break
    return count


def _why_waiting(api: str, pool: str) -> str:
    if workers_online(api, pool) == 0:
        return f"no worker of {pool} is online, so nothing will run; start one with: elp up"
    return f"still waiting for a free worker of {pool}; it is busy with other runs (see: elp status)"
