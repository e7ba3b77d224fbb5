"""A flow that holds the GPU as a training does, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import flow

from pipelines.orchestration import gpu_turn
from tests.support.pretended_worker import mark_use

# a test does not wait for long
gpu_turn.PUT_BACK = 2.0


@flow(name="occupy", persist_result=False)
def occupy(folder: str, seconds: float = 0.0) -> None:
    """Hold the GPU, and then the checker's lock on it, for some seconds."""
    gpu_turn.take_gpu()
    mark_use(Path(folder))
    time.sleep(seconds)
