"""`elp train`, `elp gate`, `elp retrain`: ask a worker for a run and follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elp_core.errors import OpsError
from pipelines.cli.options import (
    SLOT,
    complete_adapter,
    complete_dataset,
    on_workspace,
    options_of_delivery,
    slot_argument,
)
from pipelines.cli.output import emit, mark, progress, wants_json
from pipelines.cli.progress_bar import clips_progress, long_work
from pipelines.errors import GateRefused, ServiceError, UsageError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.gpu_need import slot_queue
from pipelines.local.worker_plan import GPU_POOL
from pipelines.local.workspace import Workspace
from pipelines.number_text import duration
from pipelines.orchestration.deployments import FLOWS
from pipelines.orchestration.follow import follow
from pipelines.orchestration.prefect_api import (
    FollowedRun,
    connect_prefect,
    pinned_to_commit,
    read_outcome,
    run_name,
    start_run,
)
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.orchestration.run_outcome import RunOutcome

_detach = click.option("--detach", is_flag=True, help="Do not wait: print the address of the run and end.")


@click.command(name="train")
@click.argument("slots", type=SLOT, metavar="SITE/TASK...", nargs=-1, required=True)
@click.option(
    "--data",
    "version",
    metavar="VERSION",
    shell_complete=complete_dataset,
    help="Dataset version (v3) of one slot [default: latest].",
)
@_detach
@on_workspace
def train_verb(workspace: Workspace, slots: tuple[Slot, ...], version: str | None, detach: bool) -> None:
    """Train adapters on a worker and register them as candidates; the same inputs are not trained twice.

    Several slots are trained in one pass over the backbone that they share, each on its latest dataset version.
    """
    # a slot that is named twice is trained once
    slot, *others = dict.fromkeys(slots)
    if others and version is not None:
        raise UsageError("--data names a version of one slot, and several are named; train that slot alone")
    parameters = {"version": version or "latest"} | ({"also": [str(other) for other in others]} if others else {})
    _run(workspace, "train", [slot, *others], parameters, detach)


@click.command(name="gate")
@slot_argument
@click.option(
    "--version",
    type=click.IntRange(min=1),
    shell_complete=complete_adapter,
    help="Version in the registry [default: the newest candidate].",
)
@click.option("--dry-run", is_flag=True, help="Judge in this process, and change nothing.")
@_detach
@on_workspace
def gate_verb(workspace: Workspace, slot: Slot, version: int | None, dry_run: bool, detach: bool) -> None:
    """Judge a candidate against the champion on the golden set. Exit code 3 if it does not pass.

    The judgement runs on a worker; with --dry-run it runs in this process and changes nothing in the registry.
    """
    if not dry_run:
        _run(workspace, "gate", [slot], {} if version is None else {"version": version}, detach)
        return
    if detach:
        raise UsageError("--dry-run judges in this process, so there is nothing to detach from; leave out one of both")
    from pipelines.cli.run_panel import RunEnd
    from pipelines.gating.gate import gate_version
    from pipelines.orchestration.run_outcome import RunOutcome

    with long_work(quiet=wants_json()) as display:
        judged = gate_version(
            str(workspace.root),
            slot,
            workspace.settings,
            version,
            dry_run=True,
            mlflow_uri=mlflow_uri(workspace),
            cache=workspace.cache,
            log=display.log,
            progress=display.counting("gate", "clips"),
        )
    end = RunEnd(str(slot), RunOutcome(gate=judged), mlflow_uri(workspace), "dry run: nothing was changed")
    emit(end.outcome.rows(), lambda _: end.panel())
    if (verdict := judged.verdict).outcome != "passed":
        would = "would be undecided" if verdict.outcome == "undecided" else "would be refused"
        report = judged.evidence / "report.html"
        raise GateRefused(f"{slot} v{judged.version} {would}: {verdict.reasons[0]}\nthe report: {report}")


@click.command(name="retrain")
@click.argument("slot", type=SLOT, metavar="SITE/TASK", required=False)
@click.argument("source", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--all", "every", is_flag=True, help="Every slot that has data, instead of one.")
@options_of_delivery
@_detach
@on_workspace
def retrain_verb(
    workspace: Workspace, slot: Slot | None, source: Path | None, every: bool, detach: bool, **given: Any
) -> None:
    """Run from audio to verdict on a worker: take in SOURCE (or the slot's inbox), train, register, gate.

    Waits and shows the run's log; Ctrl-C stops the waiting, not the run. Exit code 3 if the gate does not pass it. If
    the workspace has a Git address (git in elp.yaml), this process takes SOURCE in and pushes it before the run starts.

    \b
    elp retrain plant-a/asr delivery/manifest.jsonl
    elp retrain --all --detach
    """
    if every == (slot is not None):
        raise UsageError("name one slot (elp retrain SITE/TASK) or all (elp retrain --all), not both or neither")
    if slot is None:
        _run(workspace, "retrain-all", [], {}, detach)
        return
    options = {
        name.replace("importer", "format"): value for name, value in given.items() if value not in (None, {}, ())
    }
    if options and source is None:
        names = ", --".join(name.replace("format_options", "option") for name in options)
        raise UsageError(f"--{names} are about a SOURCE, and none was named")
    parameters = {"source": str(source.resolve()), "options": options} if source else {}
    if source and workspace.settings.git:
        # by this process: a worker on another machine cannot read the path
        _take_in(workspace, slot, source, options)
        parameters = {}
    _run(workspace, "retrain", [slot], parameters, detach)


def _take_in(workspace: Workspace, slot: Slot, source: Path, options: Mapping[str, Any]) -> None:
    """Take a delivery of this machine in before a run elsewhere, which then trains on the newest version."""
    from pipelines.datasets.ingest import add_delivery

    given = dict(options)
    importer = given.pop("format", None)
    with clips_progress(quiet=wants_json()) as report:
        version = add_delivery(workspace, slot, source, importer, given, report)
    progress(f"{version.tag} holds {source} and is at {workspace.settings.git}")


def _run(workspace: Workspace, flow: str, slots: Sequence[Slot], parameters: Mapping[str, Any], detach: bool) -> None:
    """Ask for a run of a flow, follow it and report it; GateRefused gives the exit code of a refusal."""
    if (followed := follow_flow(workspace, flow, slots, parameters, detach)) is None:
        return
    run, outcome = followed
    # imported when a run has ended: they load the gate, which shell completion does without
    from pipelines.cli.run_panel import RunEnd
    from pipelines.orchestration.run_outcome import REFUSED, UNDECIDED

    ended = f"{run.name}: {mark(run.state)} in {duration(run.seconds)}"
    end = RunEnd(str(slots[0]) if slots else "", outcome, _server(workspace), ended)
    emit({"run": run, "outcome": outcome.rows()}, lambda _: end.panel())
    if run.state in (REFUSED, UNDECIDED):
        raise GateRefused(end.refusal(run))


def follow_flow(
    workspace: Workspace, flow: str, slots: Sequence[Slot], parameters: Mapping[str, Any], detach: bool
) -> tuple[FollowedRun, RunOutcome] | None:
    """Ask for a run of a flow, follow it, and return it with what it did; with `detach`, print its address alone.

    Raises OpsError if the run did not complete.
    """
    names = [str(slot) for slot in slots]
    name = run_name(flow, names) if names else "retrain all slots"
    if names:
        parameters = {"slot": names[0], **parameters}
    # what a worker on another machine reads: this commit, by this release
    parameters = {**parameters, **pinned_to_commit(workspace)}
    with connect_prefect(workspace) as client:
        # by what its GPU must carry; a flow over all slots trains nothing itself
        queue = slot_queue(workspace.settings, slots) if FLOWS[flow] == GPU_POOL else None
        run = start_run(client, workspace, flow, parameters, name, names, queue)
        progress(f"{name}: {run.url}")
        if detach:
            emit(run, lambda r: r.url)
            return None
        try:
            with long_work() as display:
                run = follow(client, run, FLOWS[flow], display.log, show=display.show)
        except KeyboardInterrupt:
            progress(f"no longer watching; the run continues: {run.url}")
            raise
        outcome = read_outcome(client, run.id)
    if run.state_type != "COMPLETED":
        reason = run.message.removeprefix("Flow run encountered an exception: ") or "no message"
        raise OpsError(f"{name} ended as {run.state}: {reason}\nits page: {run.url}")
    return run, outcome


def _server(workspace: Workspace) -> str:
    """Return the address of MLflow; empty if it has stopped meanwhile."""
    try:
        return mlflow_uri(workspace)
    except ServiceError:
        return ""
