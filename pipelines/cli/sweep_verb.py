"""`elp sweep`: how the champion answers under simulated conditions that no training uses."""

from typing import get_args

import click

from elp_core.config import SweepCondition
from pipelines.cli.options import complete_adapter, on_workspace, slot_argument
from pipelines.cli.output import emit, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


@click.command(name="sweep")
@slot_argument
@click.option(
    "--version",
    type=click.IntRange(min=1),
    shell_complete=complete_adapter,
    help="Another version, compared with the champion on the same clips.",
)
@click.option(
    "--clips",
    type=click.IntRange(min=0),
    default=300,
    metavar="N",
    help="Answer at most so many golden clips, chosen by hash; 0: all [default: 300].",
)
@click.option(
    "--family",
    "families",
    multiple=True,
    type=click.Choice(get_args(SweepCondition)),
    metavar="NAME",
    help=f"Only this family; several are possible. Families: {', '.join(get_args(SweepCondition))}.",
)
@on_workspace
def sweep_verb(workspace: Workspace, slot: Slot, version: int | None, clips: int, families: tuple[str, ...]) -> None:
    """Measure how the champion degrades under rooms, voices, noises, codecs and faults of lines.

    The golden set is answered clean, and under each family at four severities. The report is HTML and JSON, and a run
    in MLflow. Results are kept: a sweep that was stopped continues.

    \b
    elp sweep plant-a/asr
    elp sweep plant-a/asr --version 7 --family hall --family traffic
    """
    from pipelines.local.addresses import mlflow_uri
    from pipelines.robustness.sweep_report import SWEEP_PAGE
    from pipelines.robustness.sweep_slot import SweepRequest, sweep_slot
    from pipelines.robustness.sweep_words import cell_headers, cell_rows, sweep_sentences

    with long_work(quiet=wants_json()) as display:
        found, folder = sweep_slot(
            workspace,
            slot,
            SweepRequest(version, clips, families),
            mlflow_uri=mlflow_uri(workspace),
            log=display.log,
            progress=display.counting("sweep", "clips"),
        )
    report = folder / SWEEP_PAGE
    emit(
        {"sweep": found, "report": report},
        lambda _: "\n\n".join(
            (
                table(cell_headers(found), cell_rows(found)),
                "\n".join(f"- {sentence}" for sentence in sweep_sentences(found)),
                f"report: {report}",
            )
        ),
    )
