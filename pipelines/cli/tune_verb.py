"""`elp tune`: a smaller or a better configuration of a slot's adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import complete_dataset, on_workspace, slot_argument
from pipelines.cli.output import emit, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.tuning.tuning_result import TuningResult


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
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, help="Time for it all [default: 60]."
)
@click.option("--trials", type=click.IntRange(min=1), help="Trials of the search, instead of minutes.")
@click.option(
    "--parameters",
    type=click.FloatRange(min=0, min_open=True),
    default=0.25,
    metavar="SHARE",
    help="Most trainable parameters, as a share of the present ones [default: 0.25].",
)
@click.option("--seeds", type=click.IntRange(min=1), default=2, help="New seeds of the confirmation [default: 2].")
@click.option("--jobs", type=click.IntRange(min=1), help="Trainings at once [default: servers.workers of elp.yaml].")
@on_workspace
def tune_verb(
    workspace: Workspace,
    slot: Slot,
    version: str,
    minutes: float,
    trials: int | None,
    parameters: float,
    seeds: int,
    jobs: int | None,
) -> None:
    """Search for a smaller or a better configuration of the slot's adapter, and confirm it on new seeds.

    The search and the confirmation use the training and the validation split, never the golden set. A run that was
    stopped continues with what is left of the minutes.
    """
    from pipelines.tuning.tune_request import TuneHooks, TuneRequest
    from pipelines.tuning.tune_slot import tune_slot

    jobs = jobs or max(1, workspace.settings.servers.workers)
    request = TuneRequest(version, minutes, trials or 0, parameters, seeds, jobs)
    with long_work(quiet=wants_json()) as display:
        hooks = TuneHooks(display.log, display.counting("tune", "s"))
        found, folder = tune_slot(workspace, slot, request, hooks)
    _emit(found, folder)


def _emit(found: TuningResult, folder: Path) -> None:
    from pipelines.tuning.tuning_report import front_heads, front_rows
    from pipelines.tuning.tuning_result import tuning_findings

    def text(_: object) -> str:
        findings = "\n".join(f"- {sentence}" for sentence in tuning_findings(found))
        front = table(front_heads(found), front_rows(found, found.front()))
        return f"{findings}\n\n{front}\n\nreport: {folder / 'tune.html'}"

    emit({"tuning": found, "report": folder / "tune.html"}, text)
