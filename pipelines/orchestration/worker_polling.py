"""A process worker asks for as many runs as it can start, due by the server's clock. Checked with Prefect 3.8.8.

Prefect's own worker asks for all runs that are due, every second, also while it can start none. The server reads up to
200 runs with their states for each answer: with hundreds of runs that wait for a worker, it does little else. And it
takes what is due by its own clock: one that is an hour behind would start every run an hour late, and one that is ahead
would wait in its place for runs of the next hour.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from elp_core.types import Seconds

if TYPE_CHECKING:
    from prefect.client.schemas.responses import WorkerFlowRunResponse
    from prefect.workers.process import ProcessWorker

_BUSY_PAUSE: Seconds = 20.0
"""How often a worker that can start nothing asks: the server calls a work queue not ready after a minute."""
_asked: dict[str, float] = {}
"""Name of a worker -> when it asked last."""


def ask_for_few_runs() -> None:
    """Let the process workers of this process ask so."""
    from prefect.workers.process import ProcessWorker

    ProcessWorker._get_scheduled_flow_runs = scheduled_runs  # type: ignore[assignment, method-assign]


async def scheduled_runs(worker: ProcessWorker) -> list[WorkerFlowRunResponse]:
    """Return the due runs of the worker's queues that it can start now, those it is about to start included."""
    from httpx import HTTPStatusError
    from prefect.client.schemas.responses import WorkerFlowRunResponse

    free = None if worker._limiter is None else int(worker._limiter.available_tokens)
    if free == 0 and time.monotonic() - _asked.get(worker.name, -_BUSY_PAUSE) < _BUSY_PAUSE:
        return []
    _asked[worker.name] = time.monotonic()
    wanted: dict[str, Any] = {
        "work_queue_names": list(worker._work_queues),
        "scheduled_before": await _server_now(worker),
    }
    if free is not None:
        # the server still calls those due that this worker is about to start
        wanted["limit"] = max(1, free) + len(worker._submitting_flow_run_ids)
    pool = {"name": worker._work_pool_name}
    try:
        answer = await worker.client.request(
            "POST", "/work_pools/{name}/get_scheduled_flow_runs", path_params=pool, json=wanted
        )
    except HTTPStatusError as error:
        # the next report of the worker makes its pool
        if error.response.status_code != 404:
            raise
        return []
    return WorkerFlowRunResponse.model_validate_list(answer.json())


async def _server_now(worker: ProcessWorker) -> str:
    """Return the present moment by the clock of the server, ISO 8601; by that of this machine if it does not say it."""
    answer = await worker.client.request("GET", "/health")
    said = answer.headers.get("Date")
    return (parsedate_to_datetime(said) if said else datetime.now(UTC)).isoformat()
