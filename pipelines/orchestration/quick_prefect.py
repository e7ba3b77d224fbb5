"""Run the command `prefect`, or one flow run, with a quicker start.

    python -m pipelines.orchestration.quick_prefect worker start --pool elp-gpu --limit 1

takes the arguments of `prefect`. Its server sends its pages with a content policy, and its transactions wait for their
turn on SQLite. A worker started by `prefect worker start` runs the same flows, 2 s more slowly, and asks for more runs.
Checked with Prefect 3.8.8.
"""

import importlib
import runpy
import sys
from typing import Any

from pipelines.errors import UsageError
from pipelines.local.gpu_lock import OWN_VARIABLES
from pipelines.orchestration.prefect_pages import serve_pages_with_policy
from pipelines.orchestration.prefect_sqlite import limit_requests_only, wait_in_line
from pipelines.orchestration.worker_polling import ask_for_few_runs
from pipelines.quick_imports import quick_imports, skip_grammar

ENGINE = "engine"
"""The argument that runs one flow run; the worker gives its id in the environment, as to `prefect.engine`."""


def _start_engine_directly() -> None:
    """Let the process worker of this process start the flow run itself, without a process that prepares it.

    Prefect's own command resolves the place of the code first, in a process that imports all of Prefect, and replaces
    it by another one that imports it again (1.7 s of CPU). Our flows are modules of an installed package.
    """
    from prefect.workers import process

    class DirectConfiguration(process.ProcessJobConfiguration):
        def prepare_for_flow_run(self, *args: Any, **kwargs: Any) -> None:
            # here, before the worker's environment is mixed in: these are those of the job and the deployment
            if named := sorted(OWN_VARIABLES & set(self.env)):
                raise UsageError(
                    f"the deployment or the job sets {', '.join(named)}, which names the GPU of another run; remove it "
                    "from env: the worker chooses the GPU"
                )
            if self.command is None:
                self.command = f'"{sys.executable}" -m pipelines.orchestration.quick_prefect {ENGINE}'
            super().prepare_for_flow_run(*args, **kwargs)

    process.ProcessWorker.job_configuration = DirectConfiguration


def main() -> None:
    """Run what the command line asks for."""
    skip_grammar()
    if sys.argv[1:] == [ENGINE]:
        with quick_imports():
            # what the engine imports while it runs, and it runs to the end of the flow
            for name in ("prefect.flow_engine", "pipelines.orchestration.flows"):
                importlib.import_module(name)
        sys.argv = sys.argv[:1]  # the engine reads a first argument as the id of the run
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
        return
    from prefect.cli import app

    if sys.argv[1:2] == ["worker"]:
        _start_engine_directly()
        ask_for_few_runs()
    if sys.argv[1:3] == ["server", "start"]:
        serve_pages_with_policy()
        wait_in_line()
        limit_requests_only()
    app()


if __name__ == "__main__":
    main()
