"""`elp tune`: a smaller or a better configuration of a slot's adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elp_core.errors import OpsError
from pipelines.cli.options import FiniteNumber, complete_dataset, on_workspace, slot_argument
from pipelines.cli.output import emit, progress, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.errors import ServiceError, UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.tuning.tuning_result import TuningResult


_AGAIN = "elp.yaml has these settings already, from this command; to search on from them, leave out --apply"


@click.command(name="tune")
@slot_argument
@click.option(
    "--data",
    "version",
    default="latest",
    metavar="VERSION",
    shell_complete=complete_dataset,
    help="Dataset version (v3) [default: latest].",
)
@click.option("--minutes", type=FiniteNumber(min=0, min_open=True), default=60.0, help="Time for it all [default: 60].")
@click.option("--trials", type=click.IntRange(min=1), help="Trials of the search, instead of minutes.")
@click.option(
    "--parameters",
    type=FiniteNumber(min=0, min_open=True),
    default=0.25,
    metavar="SHARE",
    help="Most trainable parameters, as a share of the present ones [default: 0.25].",
)
@click.option("--seeds", type=click.IntRange(min=1), default=2, help="New seeds of the confirmation [default: 2].")
@click.option("--jobs", type=click.IntRange(min=1), help="Trainings at once [default: servers.workers of elp.yaml].")
@click.option("--apply", "apply", is_flag=True, help="Write the winner into elp.yaml, with its comments.")
@click.option("--dry-run", is_flag=True, help="With --apply: show the difference, and change nothing.")
@click.option("--local", is_flag=True, help="Run in this process, without Prefect.")
@click.option("--detach", is_flag=True, help="Do not wait: print the address of the run and end.")
@on_workspace
def tune_verb(
    workspace: Workspace,
    slot: Slot,
    minutes: float,
    local: bool,
    detach: bool,
    apply: bool,
    dry_run: bool,
    **given: float | str | None,
) -> None:
    """Search for a smaller or a better configuration of the slot's adapter, and confirm it on new seeds.

    The search and the confirmation use the training and the validation split, never the golden set. The trainings run
    on a worker, with --local in this process. A run that was stopped continues with what is left of the minutes.

    \b
    elp tune plant-a/asr --minutes 60
    """
    if local and detach:
        raise UsageError("--local runs in this process, so there is nothing to detach from; leave out one of both")
    if dry_run and not apply:
        raise UsageError("--dry-run shows what --apply would write; give both, or neither")
    if detach and apply:
        raise UsageError("--detach does not wait for the winner that --apply writes; leave out one of both")
    options = {"minutes": minutes, **{name: value for name, value in given.items() if value is not None}}
    if apply and (done := _applied_before(workspace, slot, options)):
        _emit(done, None, "", _AGAIN)
        return
    if local:
        found, folder = _in_this_process(workspace, slot, options)
    else:
        from pipelines.cli.flow_verbs import follow_flow

        if (followed := follow_flow(workspace, "tune", [slot], options, detach)) is None:
            return
        found, folder = _read(followed[1].tuning), None
    diff = ""
    if apply and found.change:
        from pipelines.tuning.apply_settings import apply_winner, note_applied

        diff = apply_winner(workspace, slot, found.change, write=not dry_run)
        if not dry_run:
            note_applied(workspace, slot, options, found)
    _emit(found, folder, diff, _applied(found, diff, apply, dry_run))


def _applied_before(workspace: Workspace, slot: Slot, options: Mapping[str, Any]) -> TuningResult | None:
    """Return the study whose winner the same command has written into elp.yaml, unless settings or data changed."""
    from pipelines.datasets.versions import version_at
    from pipelines.tuning.apply_settings import applied_before

    dataset = version_at(workspace, str(options["version"]), slot)
    return applied_before(workspace, slot, dataset.tag, options)


def _applied(found: TuningResult, diff: str, apply: bool, dry_run: bool) -> str:
    """Return what happened to elp.yaml, as a line."""
    if not apply:
        return "write it into elp.yaml with --apply" if found.change else ""
    if not found.change:
        return "elp.yaml stays as it is: there is no winner"
    if dry_run:
        return "dry run: elp.yaml was not changed"
    if not diff:
        return "elp.yaml has these settings already"
    return (
        f"written into elp.yaml; commit it, then train with: elp retrain {found.slot}; from now on, elp tune without "
        "--apply begins a new study, on these settings"
    )


def _in_this_process(workspace: Workspace, slot: Slot, options: Mapping[str, Any]) -> tuple[TuningResult, Path]:
    """Run the study here; its runs are in MLflow if the server is up."""
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client.connection import connect
    from pipelines.tuning.child_runs import StudyRuns
    from pipelines.tuning.tune_request import TuneHooks, TuneRequest
    from pipelines.tuning.tune_slot import tune_slot

    request = TuneRequest(**{"jobs": max(1, workspace.settings.servers.workers), **options})
    try:
        runs = StudyRuns(connect(mlflow_uri(workspace)), slot)
    except ServiceError:
        runs = None
        progress("MLflow is not up, so the trials are in the report only")
    with long_work(quiet=wants_json()) as display:
        hooks = TuneHooks(display.log, display.counting("tune", "trials" if request.trials else "s"))
        if runs:
            found_runs = runs
            hooks = replace(hooks, opened=runs.open, run=lambda call: found_runs.record(call, call.train))
        found, folder = tune_slot(workspace, slot, request, hooks)
    if runs:
        runs.close(found, folder)
    return found, folder


def _read(values: Mapping[str, Any]) -> TuningResult:
    from elp_core.config import from_dict
    from pipelines.tuning.tuning_result import TuningResult

    if not values:
        raise OpsError("the run reported no result; look at its page, and run the command again: it continues")
    return from_dict(TuningResult, values, "tuning")


def _emit(found: TuningResult, folder: Path | None, diff: str, applied: str) -> None:
    from pipelines.tuning.tuning_words import front_heads, front_rows, tuning_findings

    def text(_: object) -> str:
        findings = "\n".join(f"- {sentence}" for sentence in tuning_findings(found))
        front = table(front_heads(found), front_rows(found, found.front()))
        place = str(folder / "tune.html") if folder else f"the run of study {found.study} in MLflow"
        return "\n\n".join(filter(None, (findings, front, diff.rstrip(), f"report: {place}", applied)))

    emit({"tuning": found, "report": folder and folder / "tune.html", "diff": diff}, text)
