"""Which workers of other machines are lost: one that was online, and that has not reported to Prefect for 90 s.

Prefect shows a worker that was ended as one that was killed: it is offline after 90 s. So `elp worker` and `elp down`
delete the workers that they end. A worker that was ended in another way is reported as lost.
"""

from __future__ import annotations

import urllib.error
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from pipelines.local.interrupted_runs import Presence
from pipelines.local.prefect_request import prefect_request
from pipelines.local.service_commands import POOLS
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.operation_alerts import operation_alert
from pipelines.orchestration.lost_runs import SILENT, SeenRun, Watched, look


@dataclass
class WorkerWatch:
    """What is known about the workers between two rounds."""

    watched: Watched = field(default_factory=Watched)
    reported: dict[str, str] = field(default_factory=dict)
    """When the lost workers had reported last, as Prefect says it, by their ids."""


def lost_workers(watch: WorkerWatch, api: str, local: Collection[str], now: float) -> list[Alert]:
    """Return an alert for each worker that is newly lost at a moment of the monotonic clock; `local` are not watched.

    No answer raises OSError.
    """
    # the rule for clocks and outages is that for runs: a worker is as a run that it has claimed and not begun
    seen = [
        SeenRun(
            str(worker["id"]), "", "PENDING", Presence.ELSEWHERE, str(worker["name"]),
            worker_heartbeat=str(worker["last_heartbeat_time"]),
        )
        for worker in read_workers(api, POOLS)
        if worker["name"] not in local and (worker["status"] == "ONLINE" or worker["id"] in watch.watched.signs)
    ]  # fmt: skip
    watch.watched, silent = look(watch.watched, seen, now)
    lost = [one.run for one in silent]
    new = [run for run in lost if watch.reported.get(run.id) != run.worker_heartbeat]
    known = watch.reported | {run.id: run.worker_heartbeat for run in lost}
    # after a pause between two looks a lost worker has time to report, and is not newly lost if it does not
    watch.reported = {run.id: run.worker_heartbeat for run in seen if known.get(run.id) == run.worker_heartbeat}
    reason = f"it has not reported to Prefect for {SILENT:.0f} s"
    return [
        operation_alert("elp.worker.lost", f"{run.id} {run.worker_heartbeat}", subject=run.worker, reason=reason)
        for run in new
    ]


def read_workers(api: str, pools: Iterable[str]) -> list[dict[str, Any]]:
    """Return the workers of some work pools, as Prefect describes them; no answer raises OSError."""
    found: list[dict[str, Any]] = []
    for pool in sorted(pools):
        try:
            found += prefect_request(f"{api}/work_pools/{pool}/workers/filter", {})
        except urllib.error.HTTPError as error:
            # no worker has made this pool yet
            if error.code != 404:
                raise
    return found
