"""`elp report` and `elp poc`: pages for people who decide."""

from __future__ import annotations

from pathlib import Path

import click

from elp_core.files import write_whole
from elp_core.task_specs import names
from pipelines.cli.options import FiniteNumber, on_workspace
from pipelines.cli.output import emit, progress
from pipelines.local.workspace import Workspace
from pipelines.texts.message_catalogue import LANGUAGES

_language = click.option(
    "--language", type=click.Choice(LANGUAGES), help="Language of the page [default: report.language of elp.yaml]."
)
_out = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [default: below .elp/reports]."
)


@click.command(name="report")
@click.argument("site")
@_language
@_out
@on_workspace
def site_report_verb(workspace: Workspace, site: str, language: str | None, out: Path | None) -> None:
    """Write a page for a manager on SITE: recordings, gain, cost of a year, risks, and the next step.

    One HTML page without other files, which prints on A4. Costs follow from the assumptions of report: in elp.yaml.
    """
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.plain_json import plain
    from pipelines.reporting.site_page import site_page
    from pipelines.reporting.site_report import make_site_report
    from pipelines.texts.message_catalogue import texts

    chosen = texts(language or workspace.settings.report.language)
    found = make_site_report(workspace, site, mlflow_uri(workspace))
    file = out or workspace.state / "reports" / f"{site}-{chosen.language}.html"
    write_whole(file, site_page(chosen, found))
    emit({"report": plain(found), "file": file}, lambda _: f"report: {file}")


@click.command(name="poc")
@click.argument("site")
@click.option("--task", default="asr", type=click.Choice(names()), help="What the adapter is to do [default: asr].")
@click.option(
    "--target",
    type=FiniteNumber(),
    metavar="SHARE",
    help="Error rate to show, such as 0.15 [default: the limit of the gate].",
)
@_language
@_out
@on_workspace
def poc_verb(
    workspace: Workspace, site: str, task: str, target: float | None, language: str | None, out: Path | None
) -> None:
    """Write a one-page plan of a proof of concept at SITE: what to record, how long, which result justifies a roll-out.

    The amount of training audio is that of a learning curve (elp compare) of this task, or else of the published one.
    """
    from pipelines.registry.plain_json import plain
    from pipelines.registry.slot import Slot
    from pipelines.reporting.poc_page import poc_page
    from pipelines.reporting.poc_plan import make_poc_plan
    from pipelines.texts.message_catalogue import texts

    chosen = texts(language or workspace.settings.report.language)
    plan = make_poc_plan(workspace, Slot.parse(f"{site}/{task}"), target)
    if plan.lax:
        progress(
            f"warning: by this plan, an adapter with an error rate of up to {100 * plan.target:g} % is rolled out; "
            "name the one that the work permits with --target, such as --target 0.15"
        )
    file = out or workspace.state / "reports" / f"{site}-{task}-poc-{chosen.language}.html"
    write_whole(file, poc_page(chosen, plan, workspace.settings.report))
    emit({"plan": plain(plan), "file": file}, lambda _: f"plan: {file}")
