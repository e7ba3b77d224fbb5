"""The Prefect flow of `elp backbone migrate`: one slot gets a version on another backbone, and is judged with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prefect import flow, task
from prefect.client.schemas.objects import State

from elp_core.errors import BackboneError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.orchestration import tasks
from pipelines.orchestration.flows import known_ends, open_in_run
from pipelines.orchestration.gpu_turn import take_gpu
from pipelines.orchestration.run_outcome import RunOutcome, final_state, publish_outcome
from pipelines.orchestration.slot_turn import wait_for_turn
from pipelines.orchestration.tasks import RETRY
from pipelines.registry.slot import Slot


@flow(name="migrate", flow_run_name="migrate {slot}", persist_result=False)
@known_ends
def migrate(
    workspace: str,
    slot: str,
    backbone: str,
    fingerprint: str,
    champion: int,
    revision: str = "",
    release: str = "",
) -> State[Any]:
    """Train a slot on another backbone as its champion was trained, and judge the new version against the champion.

    Run again after it was stopped anywhere, it ends as if it had never been stopped: every step finds what is done.

    Args:
        workspace: Git address of the workspace, or its folder.
        slot: SITE/TASK.
        backbone: The other backbone, as in `elp.yaml`.
        fingerprint: What the backbone must be: weights of the same name may differ from machine to machine.
        champion: Version whose dataset version and configuration are used.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    wait_for_turn(workspace, [Slot.parse(slot)])
    opened, parsed = open_in_run(workspace, revision, release), Slot.parse(slot)
    take_gpu(opened.settings.for_slot(parsed).compute.processes)
    tag, moved = read_champion(opened, parsed, champion, backbone, fingerprint)
    adapter = tasks.train_slot(moved, parsed, tag)
    # under the present policy of the slot
    judged = tasks.gate_slot(opened, parsed, adapter.version, backbone)
    title = f"{adapter.name} v{adapter.version} on {backbone}: {judged.verdict.outcome}"
    publish_outcome("migrate", parsed, RunOutcome(adapter=adapter, gate=judged), title)
    return final_state(slot, judged)


@task(name="read champion", task_run_name="read {slot} v{champion}", **RETRY)
def read_champion(
    workspace: Workspace, slot: Slot, champion: int, backbone: str, fingerprint: str
) -> tuple[str, Workspace]:
    """Return the dataset version of a champion, and the workspace with the settings of its successor.

    Raises BackboneError if the backbone of this name is another one here, or is missing.
    """
    from elp_core.backbones import Backbone
    from pipelines.migration.migrate_site import challenger_inputs
    from pipelines.registry.client.connection import connect
    from pipelines.registry.client.model_registry import get

    if (here := Backbone.from_pretrained(backbone).fingerprint) != fingerprint:
        raise BackboneError(
            f"{backbone} on this machine has the fingerprint {here}, the migration is to {fingerprint}; bring the same "
            "weights to every worker"
        )
    version = get(connect(mlflow_uri(workspace)), slot, champion)
    tag, settings = challenger_inputs(workspace, version, backbone)
    return tag, replace(workspace, settings=settings)
