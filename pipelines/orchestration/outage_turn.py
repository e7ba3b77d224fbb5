"""A run that meets an outage goes back to its queue, and continues from its checkpoint when the outage is over.

The pauses grow to a minute, so a run continues within two minutes after the failed component is back. Meanwhile its
worker does other runs. A run waits for at most `LONGEST` without an hour of work in between; then it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from prefect import get_run_logger
from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL

from elp_core.types import Seconds
from pipelines.number_text import duration
from pipelines.orchestration.send_back import send_back
from pipelines.orchestration.slot_deployments import patient_request, rest_errors, server_now
from pipelines.outages import WAITS, awaited

LONGEST = timedelta(days=3)
_PAUSES: tuple[Seconds, ...] = (10.0, 20.0, 40.0, 60.0)
_WORKED = timedelta(hours=1)
"""A run that has worked for this long since it waited last has met another outage."""


def wait_for_outage(error: Exception) -> None:
    """Send the run in progress back to its queue if its error is an outage, and end the process.

    Return if it is none, if the run has no queue, or if it has waited for `LONGEST`. Raise ServiceError if Prefect does
    not answer or not put the run back.
    """
    reason = awaited(error)
    api, run_id = PREFECT_API_URL.value(), flow_run.get_id()
    if not reason or not api or not run_id or not deployment.id:
        return
    with rest_errors(api):
        states = patient_request(f"{api}/flow_run_states/?flow_run_id={run_id}")
    now = server_now(api)
    before = waits_of_outage(states, now)
    if before and now - before[0] > LONGEST:
        get_run_logger().error("it has waited for %s: not again", duration((now - before[0]).total_seconds()))
        return
    pause = _PAUSES[min(len(before), len(_PAUSES) - 1)]
    get_run_logger().warning("%s%s; trying again in %.0f s", WAITS, reason, pause)
    send_back(f"{WAITS}{reason}", pause)


def waits_of_outage(states: Iterable[Mapping[str, Any]], now: datetime) -> list[datetime]:
    """Return when a run began each wait for the present outage, oldest first, from its states in Prefect."""
    found: list[datetime] = []
    later = now
    moments = (datetime.fromisoformat(state["timestamp"]) for state in states if _is_wait(state))
    for moment in sorted(moments, reverse=True):
        if later - moment > _WORKED:
            break
        found.insert(0, moment)
        later = moment
    return found


def _is_wait(state: Mapping[str, Any]) -> bool:
    return str(state.get("message") or "").startswith(WAITS)
