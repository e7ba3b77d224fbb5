"""`elp worker`: run the workers of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.output import progress

_home = click.option(
    "--home", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the worker [default: ELP_WORKER_HOME]."
)


@click.group(invoke_without_command=True)
@_home
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at once without a GPU."
)
@click.option(
    "--shares", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at once on one GPU."
)
@click.option("--cpu", is_flag=True, help="Train on the CPU even if this machine has a GPU.")
@click.pass_context
def worker(ctx: click.Context, home: Path | None, jobs: int, shares: int, cpu: bool) -> int:
    """Run the workers of this machine: one for each GPU, or one for the CPU, and one for the data work.

    The command runs until SIGTERM or Ctrl-C, which end the workers and their runs. A worker that has ended is started
    again. One GPU runs one training, whatever dies; with --shares N it runs N.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from pipelines.local.gpus import find_gpus
    from pipelines.local.worker_home import read_worker, worker_home
    from pipelines.local.worker_host import run_worker
    from pipelines.local.worker_plan import plan_workers

    folder = worker_home(home)
    settings = read_worker(folder)
    specs = plan_workers([] if cpu else find_gpus(), settings.name, jobs=jobs, shares=shares, cpu=cpu)
    return run_worker(folder, settings, specs, progress)
