"""The steps as Prefect tasks. A server that is gone is tried again; bad data and refusals are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task

from pipelines.errors import ServiceError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.plain_json import plain
from pipelines.registry.signing.keys import key_folder
from pipelines.registry.slot import Slot

INBOX = "inbox"
"""Folder of a workspace whose `<site>/<task>/` entries are deliveries waiting to be taken in."""


async def servers_gone(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a task failed because a server was gone: the one failure that time may heal."""
    failure = await state.aresult(raise_on_failure=False)
    return isinstance(failure, ServiceError)


RETRY: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [5, 20, 60],
    "retry_condition_fn": servers_gone,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


def cache(workspace: Workspace) -> Path:
    """Where fetched data, trainings and bundles are kept."""
    return workspace.state / "cache"


def inbox(workspace: Workspace, slot: Slot) -> list[Path]:
    """Deliveries waiting in the slot's inbox, by name; hidden entries are not finished yet."""
    folder = workspace.root / INBOX / slot.site / slot.task
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []


@task(name="ingest", task_run_name="ingest {slot} from {source}", **RETRY)
def ingest_delivery(workspace: str, slot: str, source: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Take one delivery in: validate, version, push. The same delivery again changes nothing."""
    from pipelines.datasets.ingest import add_delivery

    log, options = get_run_logger(), dict(options or {})
    importer = options.pop("format", None)
    log.info("taking in %s", source)
    version = add_delivery(open_workspace(Path(workspace)), Slot.parse(slot), Path(source), importer, options)
    log.info("%s: %d clips, %d in quarantine", version.tag, version.clips, version.quarantined)
    result: dict[str, Any] = plain(version)
    return result


@task(name="latest dataset", **RETRY)
def latest_dataset(workspace: str, slot: str, version: str = "latest") -> dict[str, Any]:
    """The dataset version to train on."""
    from pipelines.datasets.versions import version_at

    result: dict[str, Any] = plain(version_at(workspace, version, Slot.parse(slot)))
    return result


@task(name="train and register", task_run_name="train {slot} on {tag}", **RETRY)
def train_slot(workspace: str, slot: str, tag: str) -> dict[str, Any]:
    """Train on a dataset version and register the adapter; the same inputs are not trained twice."""
    from pipelines.training.train import train_adapter

    opened = open_workspace(Path(workspace))
    registered = train_adapter(
        workspace,
        Slot.parse(slot),
        tag,
        opened.settings,
        mlflow_uri=mlflow_uri(opened),
        cache=cache(opened),
        keys=key_folder(opened.state),
        flow_run_id=str(flow_run.get_id() or ""),
        log=get_run_logger().info,
    )
    result: dict[str, Any] = plain(registered)
    return result


@task(name="train several and register", **RETRY)
def train_slots(workspace: str, tags: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Train several slots, each on its dataset version, in one pass; what is trained already is left out of it."""
    from pipelines.training.train_several import train_adapters

    opened = open_workspace(Path(workspace))
    done = train_adapters(
        workspace,
        {Slot.parse(slot): tag for slot, tag in tags.items()},
        opened.settings,
        mlflow_uri=mlflow_uri(opened),
        cache=cache(opened),
        keys=key_folder(opened.state),
        flow_run_id=str(flow_run.get_id() or ""),
        log=get_run_logger().info,
    )
    return {str(slot): plain(registered) for slot, registered in done.items()}


@task(name="gate", task_run_name="gate {slot}", **RETRY)
def gate_slot(workspace: str, slot: str, version: int | None = None) -> dict[str, Any]:
    """Judge a version against the champion on the golden set, and write the verdict down."""
    from pipelines.gating.gate import gate

    opened = open_workspace(Path(workspace))
    outcome = gate(
        workspace,
        Slot.parse(slot),
        opened.settings,
        version,
        mlflow_uri=mlflow_uri(opened),
        cache=cache(opened),
        keys=key_folder(opened.state),
        log=get_run_logger().info,
    )
    result: dict[str, Any] = plain(outcome)
    return result


@task(name="slots with data", **RETRY)
def slots_with_data(workspace: str) -> list[str]:
    """Every slot that has a dataset version, or a delivery in its inbox."""
    from pipelines.datasets.versions import dataset_slots

    opened = open_workspace(Path(workspace))
    waiting = {f"{p.parent.name}/{p.name}" for p in (opened.root / INBOX).glob("*/*") if p.is_dir()}
    return sorted({str(slot) for slot in dataset_slots(workspace)} | {str(Slot.parse(name)) for name in waiting})


@task(name="promote", task_run_name="promote {slot}", **RETRY)
def promote_slot(workspace: str, slot: str, version: int) -> dict[str, Any]:
    """Make a version that has passed the champion; for workspaces that say so in `auto_promote`."""
    from pipelines.registry.client.champion import promote

    opened = open_workspace(Path(workspace))
    promotion = promote(
        Slot.parse(slot),
        opened.settings,
        version,
        mlflow_uri=mlflow_uri(opened),
        by="auto_promote",
        why="passed the gate",
        log=get_run_logger().info,
    )
    result: dict[str, Any] = plain(promotion)
    return result


@task(name="retrain one slot", task_run_name="retrain {slot}", retries=0, cache_policy=NO_CACHE)
def retrain_in_a_run_of_its_own(deployment: str, workspace: str, slot: str) -> dict[str, Any]:
    """Start the retrain deployment for a slot on the training pool and wait for it."""
    from prefect.deployments import run_deployment

    run = cast(
        FlowRun,
        run_deployment(
            deployment,
            parameters={"workspace": workspace, "slot": slot},
            flow_run_name=f"retrain {slot}",
            tags=[slot],
            poll_interval=2,
        ),
    )
    name, kind, message = (run.state.name, run.state.type.value, run.state.message) if run.state else ("", "", "")
    get_run_logger().info("%s: %s", slot, name)
    return {"slot": slot, "state": name, "type": kind, "message": message or "", "run": str(run.id)}
