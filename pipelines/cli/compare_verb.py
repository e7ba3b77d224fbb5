"""`elp compare`: the report to read before a roll-out."""

import click

from elp_core.errors import OpsError
from pipelines.cli.options import complete_dataset, on_workspace, slot_argument
from pipelines.cli.output import emit, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.comparison.comparison_words import method_headers, method_rows
from pipelines.comparison.method_comparison import MethodComparison
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

DEFAULT = (
    "full,weighted-sum,top-2,lora-attention,lora-ffn,dora,pissa,norms,bitfit,bottleneck,conv,prefix,inter,e,l,el,elp"
)
_COSTS = (-8, -7, -6, -5, -2)
"""The columns after the error rates that fit a terminal, from the end of the report's table."""


@click.command()
@slot_argument
@click.option(
    "--data",
    "version",
    default="latest",
    metavar="VERSION",
    shell_complete=complete_dataset,
    help="Dataset version (v3) [default: latest].",
)
@click.option("--methods", default=DEFAULT, metavar="NAME,…", help=f"Methods to compare [default: {DEFAULT}].")
@click.option("--shares", default="0.125,0.25,0.5,1", metavar="SHARE,…", help="Of the learning curve; '' for none.")
@click.option("--curve", default="elp", metavar="NAME", help="The learning curve's method [default: elp].")
@click.option("--seeds", type=click.IntRange(1), default=1, metavar="N", help="Trainings of each method [default: 1].")
@click.option(
    "--budget",
    type=click.IntRange(1, 5),
    default=1,
    metavar="N",
    help="Learning rates that each method is tried with; the validation split chooses [default: 1].",
)
@click.option("--heads", default="", metavar="NAME,…", help="Heads of the task that each method is trained with.")
@on_workspace
def compare(
    workspace: Workspace,
    slot: Slot,
    version: str,
    methods: str,
    shares: str,
    curve: str,
    seeds: int,
    budget: int,
    heads: str,
) -> None:
    """Train on the slot's data with each method, and compare results and costs.

    The trainings run one after another, each in its own process on this machine. Methods: those of the library, and
    "slot" for the slot's own configuration. The report is HTML, Markdown and JSON, and a run in MLflow.
    """
    from pipelines.comparison.compare_methods import ComparisonRequest, compare_methods
    from pipelines.local.addresses import mlflow_uri

    request = ComparisonRequest(
        tuple(_words(methods)),
        tuple(_share(word) for word in _words(shares)),
        curve,
        seeds,
        budget,
        tuple(_words(heads)),
    )
    with long_work(quiet=wants_json()) as display:
        found, folder = compare_methods(
            workspace,
            slot,
            version,
            request,
            mlflow_uri=mlflow_uri(workspace),
            log=display.log,
            progress=display.counting("compare", "trials"),
        )
    report = folder / "compare.html"
    emit({"comparison": found, "report": report}, lambda _: f"{_render(found)}\n\nreport: {report}")
    if found.failed:
        raise OpsError(f"{count(len(found.failed), 'trial')} failed: {', '.join(one.method for one in found.failed)}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _share(word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise click.BadParameter(f"{word!r} is not a number; expected shares such as 0.25,0.5,1") from error


def _render(found: MethodComparison) -> str:
    costs = "trainable", "training", "memory", "100 slots"
    names = method_headers(found)
    heads = (names[0], *names[2 : _COSTS[0]], "against the best", *costs)
    chosen = [[row[0], *row[2 : _COSTS[0]], *(row[place] for place in _COSTS)] for row in method_rows(found)]
    findings = "\n".join(f"- {sentence}" for sentence in found.findings)
    return f"{table(heads, chosen)}\n\n{findings}"
