"""`elp worker`: run the workers of this machine; invite, enrol, list and revoke workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import json_option, on_workspace, refuse_before_verb
from pipelines.cli.output import emit, mark, progress, table
from pipelines.local.workspace import Workspace
from pipelines.number_text import count

_home = click.option(
    "--home",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the worker [default: ELP_WORKER_HOME, or ~/.local/state/elp-worker].",
)


@click.group(invoke_without_command=True)
@_home
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at once without a GPU."
)
@click.option(
    "--shares", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at once on one GPU."
)
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Work queue [default: what the GPU can carry].")
@click.option("--cpu", is_flag=True, help="Train on the CPU even if this machine has a GPU.")
@click.pass_context
def worker(ctx: click.Context, home: Path | None, jobs: int, shares: int, queues: tuple[str, ...], cpu: bool) -> int:
    """Run the workers of this machine: one for each GPU, or one for the CPU, and one for the data work.

    The command runs until SIGTERM or Ctrl-C, which end the workers and their runs. A worker that has ended is started
    again. One GPU runs one training, whatever dies; with --shares N it runs N.
    """
    if ctx.invoked_subcommand is not None:
        refuse_before_verb(ctx)
        return 0
    from pipelines.local.gpu_need import QUEUES
    from pipelines.local.gpus import find_gpus
    from pipelines.local.worker_home import read_worker, worker_home
    from pipelines.local.worker_host import run_worker
    from pipelines.local.worker_plan import plan_workers

    if unknown := sorted(set(queues) - set(QUEUES)):
        raise click.UsageError(f"no queue {', '.join(unknown)}; expected {', '.join(QUEUES)}")
    gpus = [] if cpu else find_gpus()
    if gpus and jobs > 1:
        # a warning: a unit of systemd would start a worker that refuses again and again
        progress(
            f"--jobs {jobs} does nothing: it is for trainings without a GPU, and this machine has "
            f"{count(len(gpus), 'GPU')}; give --shares {jobs} (trainings at once on each GPU), or --cpu with it"
        )
    if not gpus and shares > 1:
        why = "--cpu uses none" if cpu else "this machine has none"
        progress(
            f"--shares {shares} does nothing: it is for GPUs, and {why}; "
            f"give --jobs {shares} (trainings at once on the CPU)"
        )
    folder = worker_home(home)
    settings = read_worker(folder)
    specs = plan_workers(gpus, settings.name, jobs=jobs, shares=shares, cpu=cpu, queues=queues)
    return run_worker(folder, settings, specs, progress)


@worker.command(name="invite", short_help="Make a one-time token for a new worker.")
@click.argument("name")
@on_workspace
def invite_verb(workspace: Workspace, name: str) -> None:
    """Make a one-time token with which another machine becomes the worker NAME.

    It works once within 24 hours, and is shown once. On a server with a login only administrators may invite.
    """
    from pipelines.local.worker_enrol import invite_by_workspace

    address, token, until = invite_by_workspace(workspace, name)
    command = f"elp worker enrol {address} --token {token}"
    emit(
        {"name": name, "address": address, "token": token, "until": until},
        lambda _: f"on the machine of {name}, before {until[:16].replace('T', ' ')} UTC:\n  {command}",
    )


@worker.command(name="enrol", short_help="Make this machine a worker.")
@click.argument("address")
@click.option("--token", required=True, envvar="ELP_WORKER_TOKEN", help="From elp worker invite, or ELP_WORKER_TOKEN.")
@_home
@json_option
def enrol_verb(address: str, token: str, home: Path | None) -> None:
    """Make this machine a worker of the control host whose MLflow server is at ADDRESS.

    It makes keys of its own, which the server trusts from then on, and gets the other addresses.
    """
    from pipelines.local.worker_enrol import enrol_here
    from pipelines.local.worker_home import worker_home

    folder = worker_home(home)
    made = enrol_here(folder, address, token)
    shown = {"name": made.name, "home": folder, "prefect": made.prefect_api, "mlflow": made.mlflow_uri, "git": made.git}
    option = f" --home {folder}" if home else ""
    emit(shown, lambda _: f"this machine is the worker {made.name} of {made.mlflow_uri}\nnext: elp worker{option}")


@worker.command(name="list", short_help="List the workers that were invited.")
@on_workspace
def list_workers_verb(workspace: Workspace) -> None:
    """List the workers that were invited, and what became of the invitations."""
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client.workers import list_workers

    emit(list_workers(mlflow_uri(workspace)), _listing)


@worker.command(name="revoke", short_help="End a worker: its keys and its account.")
@click.argument("name")
@click.option("--retire", is_flag=True, help="Keep what it signed so far: its machine is taken out of service.")
@on_workspace
def revoke_verb(workspace: Workspace, name: str, retire: bool) -> None:
    """End the worker NAME at once: its keys, its account, or its open invitation.

    Nothing counts that its keys ever signed: use this if somebody else may have them. Versions whose lineage or verdict
    it signed need new ones. With --retire, what the ledger has recorded stays valid.
    """
    from pipelines.local.addresses import mlflow_uri
    from pipelines.local.worker_enrol import control_account
    from pipelines.registry.client import workers
    from pipelines.registry.signing.keys import key_folder

    uri = mlflow_uri(workspace)
    account = control_account(workspace, uri)
    ended = workers.end(uri, name, account, key_folder(workspace.state), retire=retire)
    kept = "what it signed so far stays valid" if retire else "nothing counts that it ever signed"
    emit(ended, lambda row: f"{row['name']} is {row['state']}; {kept}")
    if account is not None:
        progress("it still knows Prefect's key; docs/how-to/fleet.md says how to change that")


def _listing(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            row["name"],
            mark(row["state"]),
            (row["ended_at"] or row["enrolled_at"] or row["invited_at"])[:16].replace("T", " "),
            row["invited_by"],
            ", ".join(key[:12] for key in row["keys"]),
        )
        for row in found
    ]
    return table(
        ("worker", "state", "since (UTC)", "invited by", "keys"), rows, "no worker yet: elp worker invite NAME"
    )
