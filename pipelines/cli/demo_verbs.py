"""`elp demo`: the main job on the embedded corpus, in a workspace of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from pipelines.cli.options import json_option
from pipelines.cli.output import emit, mark, progress, table


def default_folder() -> Path:
    """ELP_DEMO, or a folder of the user's data home: the same one for every checkout."""
    if os.environ.get("ELP_DEMO"):
        return Path(os.environ["ELP_DEMO"]).expanduser().resolve()
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "elp-foundry" / "demo"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Workspace of the demo [default: ELP_DEMO].")
@click.option("--down", is_flag=True, help="End the demo's servers instead; its workspace stays.")
@json_option
def demo(folder: Path | None, down: bool, as_json: bool) -> None:
    """Run the main job on an embedded synthetic corpus of two sites.

    Takes some minutes on two cores. The servers go on after it, so that their pages can be looked at. Run again, it
    does only what is not done yet.
    """
    from pipelines.demo.job import run_demo, stop_demo
    from pipelines.demo.record import HEADERS
    from pipelines.local.addresses import mlflow_uri, prefect_api
    from pipelines.local.workspace import open_workspace

    root = (folder or default_folder()).resolve()
    if down:
        stop_demo(root, progress)
        return
    started = time.monotonic()
    rows = run_demo(root, progress)
    workspace = open_workspace(root)
    addresses = {"mlflow": mlflow_uri(workspace), "prefect": prefect_api(workspace).removesuffix("/api")}

    def render(_: object) -> str:
        cells = [[mark(cell) for cell in row.cells()] for row in rows]
        return "\n".join(
            (
                "",
                table(HEADERS, cells),
                "",
                "All audio is synthetic (espeak-ng); before: the untrained adapter. The swapped delivery has half of",
                "its transcripts exchanged; the adapter that came of it must not pass.",
                "",
                f"adapters and lineage  {addresses['mlflow']}",
                f"champions and ledger  {addresses['mlflow']}/elp/",
                f"flows and schedules   {addresses['prefect']}",
                f"workspace             {root}",
                f"done in {(time.monotonic() - started) / 60:.1f} minutes; end the servers with: elp demo --down",
            )
        )

    emit({"rows": rows, **addresses, "workspace": str(root)}, as_json, render)
