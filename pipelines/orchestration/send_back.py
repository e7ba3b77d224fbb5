"""A run that cannot work now: back to its queue, without waiting in the place of another run."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.orchestration.slot_deployments import patient_request, rest_errors, server_now


def send_back(reason: str, pause: Seconds) -> NoReturn:
    """Put the run in progress back to its queue for `pause` seconds, and end its process with success.

    It is no failure: its state is AwaitingRetry, and a worker takes it again later. Raises ServiceError if Prefect does
    not answer, or does not put the run back.
    """
    api = PREFECT_API_URL.value() or ""
    at = (server_now(api) + timedelta(seconds=pause)).isoformat()
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": reason, "state_details": {"scheduled_time": at}}
    with rest_errors(api):
        # proposed, not forced: a run that is being cancelled stays so
        answer = patient_request(f"{api}/flow_runs/{flow_run.get_id()}/set_state", {"state": state})
    if answer["status"] != "ACCEPT":
        raise ServiceError(f"{reason}, and Prefect did not take this run back ({answer['status']}); run it again later")
    # Prefect's engine ends the process with success, and reports no other state
    raise Pause(reason)
