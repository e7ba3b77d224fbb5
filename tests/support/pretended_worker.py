"""Stands for a Prefect process worker and its flow runs, without Prefect: it starts one run after the other.

    python -m tests.support.pretended_worker FOLDER

A run holds its GPU as a training does, and then a lock of another kind that only this checker knows: two runs that hold
it at once write a file `violation-…` into the folder.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from pipelines.local.gpu_lock import VISIBLE, hold_gpu


def mark_use(folder: Path) -> None:
    """Take the checker's lock on the GPU of this process; it belongs to this process alone, not to its children."""
    gpu = os.environ[VISIBLE]
    file = (folder / f"{gpu}.used").open("a+")
    try:
        # POSIX record locks, which have nothing in common with flock
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        (folder / f"violation-{gpu}-{os.getpid()}").touch()
    # kept open: to close any descriptor of the file would end the lock
    globals()["_used"] = file
    with (folder / f"{gpu}.turns").open("a") as turns:
        turns.write(f"{os.getpid()} {time.time()}\n")


def run(folder: Path) -> None:
    """Be a flow run: hold the GPU, have a child as a data loader has, and compute for a while."""
    if hold_gpu(os.environ["PREFECT__FLOW_RUN_ID"]).taken:
        with (folder / "taken").open("a") as taken:
            taken.write(f"{os.environ[VISIBLE]}\n")
        return
    mark_use(folder)
    if os.fork() == 0:
        # it outlives a run that is killed
        time.sleep(2.0)
        os._exit(0)
    time.sleep(0.3)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        run(place)
    else:
        while True:
            environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(uuid.uuid4())}
            subprocess.run([sys.executable, "-m", "tests.support.pretended_worker", str(place)], env=environment)
