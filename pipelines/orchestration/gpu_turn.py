"""The GPU of a run: its process holds it until it ends, or the run goes back to its queue."""

from __future__ import annotations

from prefect.runtime import flow_run

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.local.gpu_lock import hold_gpu
from pipelines.orchestration.send_back import send_back

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
    send_back(f"waits in its queue: {claim.taken}", PUT_BACK)
