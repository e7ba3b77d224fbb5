"""The GPU of a run: its process holds it until it ends, or the run goes back to its queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import AwaitingRetry

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.local.gpu_lock import hold_gpu

PUT_BACK: Seconds = 15.0
"""How long a run whose GPU is taken waits in its queue."""


def take_gpu(number: int = 1) -> None:
    """Hold a GPU for the run in progress until its process ends; if it is taken, send the run back to its queue.

    A run whose training has a `number` of processes holds as many GPUs, or none of them.

    A flow calls this before anything uses CUDA. A run that goes back does not wait in the place of another one, and is
    no failure: its state is AwaitingRetry, its process ends with success, and a worker takes it again later.

    Raises ServiceError if the lock cannot be taken, or if Prefect does not put the run back.
    """
    run = str(flow_run.get_id() or "")
    claim = hold_gpu(run, number)
    if not claim.taken:
        return
    if not run:
        raise ServiceError(f"{claim.taken}; wait until it has ended, or set CUDA_VISIBLE_DEVICES to another GPU")
    later = datetime.now(UTC) + timedelta(seconds=PUT_BACK)
    # the type is Prefect's own name of a datetime
    state: State[Any] = AwaitingRetry(scheduled_time=cast(Any, later), message=f"waits in its queue: {claim.taken}")
    with get_client(sync_client=True) as client:
        # proposed, not forced: a run that is being cancelled stays so
        answer = client.set_flow_run_state(UUID(run), state)
    if answer.status != SetStateStatus.ACCEPT:
        raise ServiceError(f"{claim.taken}, and Prefect did not take the run back ({answer.status.value})")
    # Prefect's engine ends the process with success, and reports no other state
    raise Pause(state=answer.state or state)
