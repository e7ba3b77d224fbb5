"""Run the flow `ingest` in a process of its own: `python -m tests.support.ingest_run WORKSPACE SITE/TASK SOURCE`."""

from __future__ import annotations

import os
import sys


def run(workspace: str, slot: str, source: str) -> None:
    """Take a delivery in; small deliveries count as large ones if ELP_TEST_SMALL is set."""
    from pipelines.datasets import distant_measuring, measuring
    from pipelines.orchestration import flows

    if os.environ.get("ELP_TEST_SMALL"):
        measuring._POOL_FROM = 8
        distant_measuring.CHUNK_CLIPS = 5
    flows.ingest(workspace, slot, source)


if __name__ == "__main__":
    run(*sys.argv[1:])
