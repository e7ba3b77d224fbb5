"""The trainings of `elp backbone migrate` as flow runs on the training pool, each slot in a run of its own.

A run is found by its parameters: a command that was killed follows the run that it had started, and starts none. Of two
commands at the same time, Prefect gives both the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elp_core.errors import ElpError
from pipelines.errors import ServiceError
from pipelines.local.gpu_need import slot_queue
from pipelines.local.worker_plan import GPU_POOL
from pipelines.local.workspace import Workspace
from pipelines.migration.migrate_site import Log, SlotMove, challenger_inputs
from pipelines.orchestration.follow import follow
from pipelines.orchestration.prefect_api import (
    FollowedRun,
    connect_prefect,
    followed_run,
    pinned_to_commit,
    run_name,
    start_run,
)
from pipelines.registry.signing.canonical_json import canonical_json, sha256

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_FLOW = "migrate"
_PAGE = 200


def migrate_in_runs(
    workspace: Workspace, moves: Sequence[SlotMove], log: Log, show: Callable[[float, str], None] | None = None
) -> Mapping[str, str]:
    """Train and judge slots in runs of workers, several at once, and follow them until all have ended.

    Returns for each slot that failed, by its name, the reason. The runs continue if following stops. `show` gets the
    percentage and the line of a run's present step. Raises ServiceError if Prefect or MLflow is gone, WorkspaceError if
    the workspace has a Git address and workers cannot read its commit.
    """
    failed: dict[str, str] = {}
    if not moves:
        return failed
    pins = pinned_to_commit(workspace)
    with connect_prefect(workspace) as client:
        runs: dict[str, FollowedRun] = {}
        for move in moves:
            try:
                run = run_of_move(client, workspace, move, pins)
            except ServiceError:
                raise
            except ElpError as error:
                failed[str(move.slot)] = str(error)
                log(f"{move.slot}: {error}")
                continue
            runs[str(move.slot)] = run
            log(f"{run.name}: {run.url}")
        for slot, run in runs.items():
            runs[slot] = follow(client, run, GPU_POOL, log, show=show)
        for slot, run in runs.items():
            # one that had crashed may have been started again while others were followed
            ended = follow(client, run, GPU_POOL, log, show=show) if run.state_type == "CRASHED" else run
            if ended.state_type != "COMPLETED":
                failed[slot] = f"its run ended as {ended.state}: {ended.message or 'no message'}; {ended.url}"
    return failed


def run_of_move(
    client: SyncPrefectClient, workspace: Workspace, move: SlotMove, pins: Mapping[str, str]
) -> FollowedRun:
    """Return the run that trains and judges a slot: one that has not ended, or else a new one.

    Raises UsageError if the training fits no queue, or an error of `challenger_inputs`.
    """
    wanted = {
        "slot": str(move.slot),
        "backbone": move.backbone,
        "fingerprint": move.fingerprint,
        "champion": move.champion.version,
    }
    present = _runs_with(client, workspace, wanted)
    if unfinished := [run for run in present if not run.ended]:
        return unfinished[0]
    # by what its GPU must carry: the new backbone, with the champion's batches
    queue = slot_queue(challenger_inputs(workspace, move.champion, move.backbone)[1], [move.slot])
    # the number of earlier runs: one that failed is no reason not to start another one
    key = sha256(canonical_json({**wanted, "workspace": workspace.address, "before": len(present)}))
    slot = str(move.slot)
    return start_run(client, workspace, _FLOW, {**wanted, **pins}, run_name(_FLOW, [slot]), [slot], queue, key)


def _runs_with(client: SyncPrefectClient, workspace: Workspace, wanted: Mapping[str, Any]) -> list[FollowedRun]:
    """Return the runs with these parameters, newest first."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.sorting import FlowRunSort

    named = filters.FlowFilter(name=filters.FlowFilterName(any_=[_FLOW]))
    tagged = filters.FlowRunFilter(tags=filters.FlowRunFilterTags(all_=[wanted["slot"]]))
    found: list[FollowedRun] = []
    while page := client.read_flow_runs(
        flow_filter=named,
        flow_run_filter=tagged,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_PAGE,
        offset=len(found),
    ):
        found += [followed_run(client, one) for one in page]
        if len(page) < _PAGE:
            break
    return [
        run
        for run in found
        # another workspace may have a slot of the same name
        if workspace.owns(run.parameters.get("workspace")) and wanted.items() <= run.parameters.items()
    ]
