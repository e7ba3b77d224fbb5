"""How many of thirty due runs a process worker gets from a real Prefect server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pipelines.orchestration.worker_polling import scheduled_runs
from tests.support.prefect_server import prefect_server

PROBE = """
import asyncio, json
from uuid import uuid4
from prefect import flow, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Scheduled
from prefect.workers.process import ProcessWorker
from pipelines.orchestration.worker_polling import ask_for_few_runs

@flow
def waiting() -> None: ...

async def main():
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name="few", type="process"))
        flow_id = await client.create_flow(waiting)
        made = await client.create_deployment(flow_id=flow_id, name="few", work_pool_name="few", entrypoint="f.py:f")
        for _ in range(30):
            await client.create_flow_run_from_deployment(made, state=Scheduled())
    found = []
    async with ProcessWorker(work_pool_name="few", limit=2) as worker:
        await worker.sync_with_backend()
        found.append(len(await worker._get_scheduled_flow_runs()))
        ask_for_few_runs()
        found.append(len(await worker._get_scheduled_flow_runs()))
        worker.limiter.acquire_on_behalf_of_nowait(uuid4())
        found.append(len(await worker._get_scheduled_flow_runs()))
        worker.limiter.acquire_on_behalf_of_nowait(uuid4())
        found.append(len(await worker._get_scheduled_flow_runs()))
    async with ProcessWorker(work_pool_name="few") as worker:
        await worker.sync_with_backend()
        found.append(len(await worker._get_scheduled_flow_runs()))
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.integration
def test_a_worker_gets_as_many_runs_as_it_can_start(tmp_path: Path) -> None:
    with prefect_server(tmp_path / "prefect") as environment:
        command = [sys.executable, "-c", PROBE]
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True)
    # Prefect's own worker, then with two places, with one, with none, and a worker without a limit
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [30, 2, 1, 0, 30]


def test_what_is_due_is_so_by_the_clock_of_the_server() -> None:
    """A worker whose clock is an hour wrong would start every run an hour late, or wait for those of the next hour."""

    class Client:
        asked = ""

        async def request(self, method: str, path: str, **given: Any) -> httpx.Response:
            asks = httpx.Request(method, "http://prefect")
            if path == "/health":
                return httpx.Response(200, headers={"Date": "Fri, 02 Jan 2026 03:04:05 GMT"}, request=asks)
            self.asked = given["json"]["scheduled_before"]
            return httpx.Response(200, json=[], request=asks)

    client = Client()
    worker: Any = SimpleNamespace(name="w", _limiter=None, _work_queues=[], _work_pool_name="p", client=client)
    assert asyncio.run(scheduled_runs(worker)) == []
    assert client.asked == "2026-01-02T03:04:05+00:00"
