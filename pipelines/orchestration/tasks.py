"""The steps as Prefect tasks. A task is retried if a server is gone; bad data and refusals are not retried."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.runtime import flow_run, task_run
from prefect.settings import PREFECT_API_URL
from prefect.tasks import Task

from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.errors import ServiceError
from pipelines.gating.gate import GateOutcome
from pipelines.local.addresses import mlflow_uri
from pipelines.local.run_workspace import open_for_run
from pipelines.local.workspace import Workspace
from pipelines.number_text import duration
from pipelines.orchestration.alerts.operation_alerts import report as report_operation
from pipelines.orchestration.prefect_api import read_outcome, run_name
from pipelines.orchestration.progress_artifact import published_progress
from pipelines.orchestration.reaper import STARTS_WITHIN, may_start_again
from pipelines.orchestration.run_outcome import SlotRun
from pipelines.orchestration.schedule_apply import slots_to_retrain
from pipelines.orchestration.shared_pass import PassPart
from pipelines.orchestration.slot_deployments import server_now
from pipelines.progress_text import Report
from pipelines.registry.client.workers import refresh_keys
from pipelines.registry.signing.keys import key_folder
from pipelines.registry.slot import Slot
from pipelines.training.register import Registered

if TYPE_CHECKING:
    from pipelines.registry.registered_adapter import ChampionChange


async def servers_gone(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Return whether a task failed because a server was gone: the only failure that waiting can repair."""
    failure = await state.aresult(raise_on_failure=False)
    return isinstance(failure, ServiceError)


RETRY: dict[str, Any] = {
    # a server that is started again; for a longer outage the run goes back to its queue
    "retries": 2,
    "retry_delay_seconds": [5, 20],
    "retry_condition_fn": servers_gone,
    # each step looks for what is done itself; a cached result could outlive the version that it names
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


def service_options(workspace: Workspace) -> dict[str, Any]:
    """Return what training and gating need besides the workspace's data and settings."""
    uri, keys = mlflow_uri(workspace), key_folder(workspace.home or workspace.state)
    if workspace.home:
        # a worker trusts what the server trusts now, and does not begin if the server no longer trusts it
        refresh_keys(uri, keys)
    return {
        "mlflow_uri": uri,
        "cache": workspace.cache,
        "keys": keys,
        "log": get_run_logger().info,
    }


def pinned(revision: str, release: str) -> dict[str, str]:
    """Return the parameters of a run that are given only for a workspace with a Git address."""
    return {name: value for name, value in (("revision", revision), ("release", release)) if value}


@task(name="open workspace", **RETRY)
def clone_workspace(workspace: str, revision: str) -> Workspace:
    """Open the workspace at a Git address: its clone on this machine, brought up to date."""
    return open_for_run(workspace, revision)


@task(name="ingest", task_run_name="ingest {slot} from {source}", **RETRY)
def ingest_delivery(
    workspace: Workspace,
    slot: Slot,
    source: str,
    options: Mapping[str, Any] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> DatasetVersion:
    """Take one delivery in: validate, version, push. The same delivery again changes nothing."""
    from pipelines.datasets.ingest import add_delivery
    from pipelines.datasets.readiness import needs_text
    from pipelines.datasets.slot_needs import version_needs
    from pipelines.orchestration.engines import chunk_map_of

    log, options = get_run_logger(), dict(options or {})
    engine = chunk_map_of(workspace.settings.fan_out, log.info)
    importer = options.pop("format", None)
    log.info("taking in %s", source)
    with published_progress("intake", "clips") as report:
        version = add_delivery(
            workspace, slot, Path(source), importer, options, _clips(report), meanwhile, chunk_map=engine
        )
    log.info("%s: %d clips, %d in quarantine", version.tag, version.clips, version.quarantined)
    if version.doubtful_names:
        # without the names, which would stay in Prefect's log after an erasure
        log.warning("names to check in %s: %s; elp data add shows them", version.tag, dict(version.doubtful_names))
    if needs := version_needs(workspace, version):
        log.warning("%s", needs_text(needs))
    return version


def take_inbox(
    workspace: Workspace,
    slot: Slot,
    options: Mapping[str, Any] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> dict[str, str]:
    """Take in what is complete in the slot's inbox, each delivery as a task; return the refused ones with the reason.

    A delivery that is refused stays in place and stops neither the others nor the run.
    """
    from pipelines.inbox.inbox_entry import shown_name
    from pipelines.inbox.inbox_records import Refusal
    from pipelines.inbox.take_deliveries import take_waiting

    def ingest(path: Path) -> str:
        return ingest_delivery(workspace, slot, str(path), options, meanwhile).tag

    def report(refusal: Refusal) -> None:
        report_event(
            workspace,
            "elp.inbox.refused",
            f"{slot} {refusal.fingerprint}",
            subject=shown_name(refusal.name),
            slot=str(slot),
            reason=refusal.reason,
        )

    done = take_waiting(workspace, slot, ingest, report, get_run_logger().info)
    return {shown_name(one.name): one.reason for one in done.refused}


def report_event(workspace: Workspace, event: str, key: str, *, subject: str, slot: str, reason: str) -> None:
    """Report an event of the operation to the Prefect API of this run. No answer raises OSError."""
    # a flow that is called as a function has no server
    if api := PREFECT_API_URL.value():
        report_operation(workspace, api, event, key, subject=subject, slot=slot, reason=reason)


def _clips(report: Report | None) -> Callable[[int, int, float], None] | None:
    """Return a report of clips as intake calls it: with the seconds of audio."""
    return report and (lambda done, total, audio: report(done, total, f"{duration(audio)} of audio"))


def import_training() -> None:
    """Import what the training and the gate of this run import anyway: some seconds of processor time."""
    from elp_core.private_names import import_after_torchaudio
    from pipelines.quick_imports import quick_imports

    with quick_imports():
        for name in (
            "elp_core.training",
            "transformers.modeling_utils",
            "mlflow.pyfunc",
            "matplotlib.backends.backend_agg",
        ):
            import_after_torchaudio(name)


@task(name="latest dataset", **RETRY)
def latest_dataset(workspace: Workspace, slot: Slot, version: str = "latest") -> DatasetVersion:
    """Return the dataset version to train on."""
    from pipelines.datasets.versions import version_at

    return version_at(str(workspace.root), version, slot)


@task(name="train and register", task_run_name="train {slot} on {tag}", **RETRY)
def train_slot(
    workspace: Workspace, slot: Slot, tag: str, shared: Callable[[PassPart], Registered] | None = None
) -> Registered:
    """Train on a dataset version and register it, once for the same inputs; `shared` trains with other runs' slots."""
    if not shared:
        return _train(workspace, {slot: tag})[slot]
    with published_progress("training", "steps") as report:
        return shared(PassPart(str(flow_run.get_id()), workspace, slot, tag, get_run_logger().info, report))


@task(name="train several and register", **RETRY)
def train_slots(workspace: Workspace, tags: Mapping[Slot, str]) -> dict[Slot, Registered]:
    """Train several slots, each on its dataset version, in one pass; what is trained already is left out of it."""
    return _train(workspace, tags)


def _train(workspace: Workspace, tags: Mapping[Slot, str]) -> dict[Slot, Registered]:
    from pipelines.training.train import train_adapters

    run_id, root = str(flow_run.get_id() or ""), str(workspace.root)
    with published_progress("training", "steps") as report:
        return train_adapters(
            root,
            tags,
            workspace.settings,
            address=workspace.address,
            flow_run_id=run_id,
            progress=report,
            **service_options(workspace),
        )


@task(name="gate", task_run_name="gate {slot}", **RETRY)
def gate_slot(workspace: Workspace, slot: Slot, version: int | None = None, backbone: str = "") -> GateOutcome:
    """Judge a version against the champion on the golden set, and record the verdict."""
    from pipelines.gating.gate import gate_version
    from pipelines.orchestration.engines import chunk_map_of

    engine = chunk_map_of(workspace.settings.fan_out, get_run_logger().info)
    options = {"backbone": backbone, "chunk_map": engine, **service_options(workspace)}
    with published_progress("gate", "clips") as report:
        return gate_version(str(workspace.root), slot, workspace.settings, version, progress=report, **options)


@task(name="slots with data", **RETRY)
def slots_to_train(workspace: Workspace) -> list[str]:
    """Return every slot that has a dataset version, or an inbox."""
    return [str(slot) for slot in slots_to_retrain(workspace, lambda text: get_run_logger().warning(text))]


@task(name="promote", task_run_name="promote {slot}", **RETRY)
def promote_slot(workspace: Workspace, slot: Slot, version: int) -> ChampionChange:
    """Make a version that passed the champion; for workspaces with `auto_promote`."""
    from pipelines.registry.client.server_api import promote_version
    from pipelines.registry.policies import policy_digest

    return promote_version(
        slot,
        version,
        policy=policy_digest(workspace.settings.for_slot(slot).gate),
        mlflow_uri=mlflow_uri(workspace),
        by="auto_promote",
        reason="passed the gate",
        log=get_run_logger().info,
    )


def _retrain_name() -> str:
    """Return the name of the task run that waits for a run of these slots."""
    return run_name("retrain", task_run.parameters["slots"])


# no retries: a second try would start a second run of the slot
@task(name="retrain in a run", task_run_name=_retrain_name, retries=0, cache_policy=NO_CACHE)
def retrain_in_own_run(
    deployment: str, workspace: str, slots: list[str], queue: str, revision: str = "", release: str = ""
) -> list[SlotRun]:
    """Start the retrain deployment for a slot, or several together, on the training pool and wait for it."""
    from prefect.deployments import run_deployment

    slot, also = slots[0], slots[1:]
    more = {"also": also} if also else {}

    def wait() -> FlowRun:
        found = run_deployment(
            deployment,
            parameters={"workspace": workspace, "slot": slot, **more, **pinned(revision, release)},
            flow_run_name=run_name("retrain", slots),
            tags=slots,
            work_queue_name=queue,
            poll_interval=2,
            # without it, Prefect's client takes the clock of this machine
            scheduled_time=server_now(PREFECT_API_URL.value() or ""),
            # a run over all slots that was killed and started again waits for the runs that it has begun
            idempotency_key=f"{flow_run.get_id()} {' '.join(slots)}",
        )
        return cast(FlowRun, found)

    run, crashed = wait(), time.monotonic()
    while run.state and run.state.is_crashed() and may_start_again(run.state.message or ""):
        if time.monotonic() - crashed > STARTS_WITHIN:
            break
        time.sleep(2.0)
        before, run = run.state.id, wait()
        if run.state and run.state.id != before:
            crashed = time.monotonic()
    name, kind, message = (run.state.name, run.state.type.value, run.state.message) if run.state else ("", "", "")
    get_run_logger().info("%s: %s", ", ".join(slots), name)
    if also and (published := _published_slots(str(run.id))):
        return published
    return [SlotRun(one, f"{name}: {message or ''}", name or "", kind) for one in slots]


def _published_slots(run: str) -> list[SlotRun]:
    """Return what a run over several slots published about each of them; empty if it ended before."""
    from prefect import get_client

    with get_client(sync_client=True) as client:
        return list(read_outcome(client, run).slots)
