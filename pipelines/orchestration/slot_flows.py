"""The flows of one slot: ingest, train, gate, and retrain, which is the three in a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from pipelines.local.workspace import open_workspace
from pipelines.orchestration import tasks
from pipelines.orchestration.artifacts import publish_outcome
from pipelines.orchestration.outcomes import gate_rows, gate_state, of_dataset, of_training
from pipelines.orchestration.prefect_api import run_name
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.gating.gate import GateResult


@flow(name="ingest", flow_run_name="ingest {slot}", persist_result=False)
def ingest(workspace: str, slot: str, source: str = "", options: dict[str, Any] | None = None) -> None:
    """Take a delivery in, or all that wait in the inbox: validate, version, push.

    Args:
        workspace: Folder of the workspace.
        slot: SITE/TASK.
        source: Path of the delivery; empty takes in what waits in `inbox/<site>/<task>/`.
        options: `format`, `noise`, `snr`, `condition` of the delivery.
    """
    rows = of_dataset(_taken_in(workspace, slot, source, options))
    publish_outcome("ingest", Slot.parse(slot), rows, f"Data of {slot}: {rows['dataset']}")


def _train_name() -> str:
    """Name of the training run that is under way."""
    given = flow_run.parameters
    return run_name("train", [given["slot"], *(given.get("also") or ())])


@flow(name="train", flow_run_name=_train_name, persist_result=False)
def train(workspace: str, slot: str, version: str = "latest", also: list[str] | None = None) -> None:
    """Train an adapter on a dataset version and register it as a candidate.

    Args:
        workspace: Folder of the workspace.
        slot: SITE/TASK.
        version: Dataset version: `latest`, `v3`, or its tag.
        also: More slots (SITE/TASK each) to train on their latest versions in the same pass over the backbone.
    """
    if also:
        wanted = {**dict.fromkeys(also, "latest"), slot: version}
        tags = {one: tasks.latest_dataset(workspace, one, which)["tag"] for one, which in wanted.items()}
        adapters = {one: of_training(done)["adapter"] for one, done in tasks.train_slots(workspace, tags).items()}
        rows = {one: f"{adapter} on {tags[one]}" for one, adapter in adapters.items()}
        publish_outcome("train", None, rows, f"{len(rows)} slot(s) trained")
        return
    dataset = tasks.latest_dataset(workspace, slot, version)
    rows = of_training(tasks.train_slot(workspace, slot, dataset["tag"]))
    publish_outcome("train", Slot.parse(slot), rows, f"{rows['adapter']} on {dataset['tag']}")


@flow(name="gate", flow_run_name="gate {slot}", persist_result=False)
def gate(workspace: str, slot: str, version: int | None = None) -> State[Any]:
    """Judge a registered version against the champion; a refusal ends as Completed under the name Refused.

    Args:
        workspace: Folder of the workspace.
        slot: SITE/TASK.
        version: Version in the registry; empty means the newest candidate.
    """
    result, rows = _judged(workspace, slot, version)
    publish_outcome("gate", Slot.parse(slot), rows, f"The gate on {slot}: {result.verdict.outcome}")
    return gate_state(slot, result)


@flow(name="retrain", flow_run_name="retrain {slot}", persist_result=False)
def retrain(workspace: str, slot: str, source: str = "", options: dict[str, Any] | None = None) -> State[Any]:
    """From audio to verdict: ingest, train, register, gate (and promote, where the workspace says so).

    Run again after it was stopped anywhere, it ends as if it had never been stopped: every step finds what is done.

    Args:
        workspace: Folder of the workspace.
        slot: SITE/TASK.
        source: Path of a delivery to take in first; empty takes in what waits in `inbox/<site>/<task>/`, if anything.
        options: `format`, `noise`, `snr`, `condition` of the delivery.
    """
    dataset = _taken_in(workspace, slot, source, options)
    registered = tasks.train_slot(workspace, slot, dataset["tag"])
    result, judged = _judged(workspace, slot, registered["version"])
    rows = {**of_dataset(dataset), **of_training(registered), **judged}
    outcome = f"{rows['adapter']} on {dataset['tag']}: {result.verdict.outcome}"
    publish_outcome("retrain", Slot.parse(slot), rows, outcome)
    return gate_state(slot, result)


def _taken_in(workspace: str, slot: str, source: str, options: dict[str, Any] | None) -> dict[str, Any]:
    """Take in the source, or the inbox; the dataset version in force then."""
    named = Slot.parse(slot)
    waiting = [source] if source else [str(path) for path in tasks.inbox(open_workspace(Path(workspace)), named)]
    for delivery in waiting:
        tasks.ingest_delivery(workspace, slot, delivery, options)
    latest: dict[str, Any] = tasks.latest_dataset(workspace, slot)
    return latest


def _judged(workspace: str, slot: str, version: int | None) -> tuple[GateResult, dict[str, Any]]:
    """Gate a version, and promote it if it passed and the workspace says so; return the result and its table rows."""
    result = tasks.gate_slot(workspace, slot, version)
    if not result.verdict.passed or not open_workspace(Path(workspace)).settings.auto_promote:
        return result, gate_rows(result)
    tasks.promote_slot(workspace, slot, result.version)
    return result, {**gate_rows(result), "promoted": True}
