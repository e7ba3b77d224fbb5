"""Prefect's own client, as the command line uses it: connections, deployments, runs, and what a run did.

Importing Prefect costs a second, so every import of it is inside a function: `elp status` and `elp --help` do without.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from pipelines.errors import ServiceError, UsageError
from pipelines.local.addresses import prefect_api, prefect_pages
from pipelines.local.former_addresses import has_workspace, may_take_over
from pipelines.local.git_server import pushed_revision
from pipelines.local.workspace import Workspace
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.prefect_names import PREFECT_LOGIN
from pipelines.quick_imports import quick_imports, skip_grammar
from pipelines.registry.plain_json import reason_in
from pipelines.release import installed_release

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun as PrefectRun
    from prefect.client.schemas.responses import DeploymentResponse

    from pipelines.orchestration.run_outcome import RunOutcome


@dataclass(frozen=True)
class FollowedRun:
    """A run of a flow, as the command line shows it."""

    id: str
    name: str
    state: str
    """Name of the state, such as Running, Completed or Refused."""
    state_type: str
    message: str
    url: str
    """Its page in the UI."""
    started: str = ""
    seconds: float = 0.0
    """How long it has run: until now if it has not ended."""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slots(self) -> list[str]:
        """The slots that the run is about, SITE/TASK each; none for a run over all slots."""
        named = self.parameters.get("slot")
        return [str(slot) for slot in ([named] if named else []) + list(self.parameters.get("also") or ())]

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.state_type in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@contextlib.contextmanager
def connect_prefect(workspace: Workspace, api: str = "") -> Iterator[SyncPrefectClient]:
    """Open Prefect's client on the workspace's Prefect API, or on `api`; its errors are those of `prefect_errors`."""
    api = api or prefect_api(workspace)
    pages = prefect_pages(workspace, api)
    with quick_imports():
        skip_grammar()
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

    # a proxy meant for the outside world must not be asked for this machine's own servers
    options = {"trust_env": False} if urlsplit(api).hostname in LOCAL_HOSTS else {}
    with (
        temporary_settings(
            {PREFECT_API_URL: api, PREFECT_UI_URL: pages, PREFECT_API_AUTH_STRING: os.environ.get(PREFECT_LOGIN)}
        ),
        get_client(options, sync_client=True) as client,
        prefect_errors(api),
    ):
        yield client


@contextlib.contextmanager
def prefect_errors(api: str) -> Iterator[None]:
    """Turn an error of Prefect's client into a UsageError if Prefect refused (HTTP 409 or 422), else a ServiceError."""
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        status, detail = error.response.status_code, reason_in(error.response.text)
        if status in (409, 422):
            raise UsageError(f"Prefect refused the request: {detail}") from error
        raise ServiceError(f"Prefect at {api} failed with HTTP {status}: {detail}") from error
    except httpx.HTTPError as error:
        raise ServiceError(f"Prefect does not answer at {api} ({error}); look at: elp status") from error


def deployment_name(workspace: Workspace) -> str:
    """Return the name of a workspace's deployments, made of the last part of its address."""
    last = re.split(r"[/:]", workspace.address.rstrip("/"))[-1].removesuffix(".git")
    return re.sub(r"[^a-z0-9-]+", "-", last.lower()).strip("-") or "elp"


def run_parameters(workspace: Workspace) -> dict[str, str]:
    """Return the parameters of every run of a workspace: its address and, for other machines, the release."""
    release = {"release": installed_release()} if workspace.settings.git else {}
    return {"workspace": workspace.address, **release}


def pinned_to_commit(workspace: Workspace) -> dict[str, str]:
    """Return the parameters that pin a run to the commit here and to this release; none without a Git address.

    Raises WorkspaceError if workers cannot read the commit.
    """
    if not workspace.settings.git:
        return {}
    return {"revision": pushed_revision(workspace), "release": installed_release()}


def find_deployment(client: SyncPrefectClient, flow: str, workspace: Workspace) -> DeploymentResponse:
    """Return the workspace's deployment of a flow.

    Raises ServiceError if it is not registered, or belongs to another workspace of the same name.
    """
    from prefect.exceptions import ObjectNotFound

    name = f"{flow}/{deployment_name(workspace)}"
    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        raise ServiceError(f"Prefect at {client.api_url} has no deployment {name}; register it with: elp up") from error
    require_owner(workspace, flow, found.name, str(found.parameters.get("workspace", workspace.address)))
    return found


def require_owner(workspace: Workspace, flow: str, name: str, owner: str) -> None:
    """Raise a ServiceError if the deployment of a flow is that of another workspace: one of the same name."""
    if not workspace.owns(owner):
        raise ServiceError(
            f"deployment {flow}/{name} on this Prefect server belongs to the workspace {owner}, not to "
            f"{workspace.address}; rename one of them, or give each its own Prefect server; "
            f"{step_of_same_workspace(workspace, flow, name, owner)}"
        )


def step_of_same_workspace(workspace: Workspace, flow: str, name: str, owner: str) -> str:
    """Return what to do if the owner of a deployment is not another workspace, but an earlier address of this one."""
    if has_workspace(workspace, owner):
        return f"if {owner} is the former folder of this workspace, rename it and run: elp up"
    taken = name == deployment_name(workspace) and may_take_over(workspace, owner)
    step = "elp up" if taken else f"prefect deployment delete {flow}/{name}"
    return f"if it is the same one under an earlier address or folder, run: {step}"


def run_name(flow: str, slots: Sequence[str]) -> str:
    """Return the name of a flow's run for its slots: the first one, and how many more there are."""
    first, *more = dict.fromkeys(slots)
    return f"{flow} {first} + {len(more)} more" if more else f"{flow} {first}"


def start_run(
    client: SyncPrefectClient,
    workspace: Workspace,
    flow: str,
    parameters: Mapping[str, Any],
    name: str,
    tags: Sequence[str] = (),
    queue: str | None = None,
    key: str | None = None,
) -> FollowedRun:
    """Ask for a run of the workspace's deployment of a flow, now; `queue` None means that of the deployment.

    A second request with the same `key` returns the run of the first one.
    """
    from prefect.states import Scheduled

    from pipelines.orchestration.slot_deployments import server_now

    deployment = find_deployment(client, flow, workspace)
    run = client.create_flow_run_from_deployment(
        deployment.id,
        # without a time, Prefect's client takes the clock of this machine: the run would begin when the server has it
        state=Scheduled(scheduled_time=server_now(str(client.api_url).rstrip("/"))),
        parameters=dict(parameters),
        name=name,
        tags=list(tags),
        work_queue_name=queue,
        idempotency_key=key,
    )
    return followed_run(client, run)


def read_run(client: SyncPrefectClient, run_id: str) -> FollowedRun:
    """Return a run in its present state."""
    return followed_run(client, client.read_flow_run(UUID(run_id)))


def read_outcome(client: SyncPrefectClient, run_id: str) -> RunOutcome:
    """Return what a run published about itself; an empty record if it published nothing."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType
    from prefect.client.schemas.sorting import ArtifactSort

    from pipelines.orchestration.run_outcome import MACHINE, RunOutcome

    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]), type=ArtifactFilterType(any_=[MACHINE])
    )
    # a run that was started again after a crash may have published twice
    found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    return RunOutcome.from_json(json.loads(str(found[0].data))) if found else RunOutcome()


def followed_run(client: SyncPrefectClient, run: PrefectRun) -> FollowedRun:
    """Return Prefect's record of a run as ours."""
    state = run.state
    return FollowedRun(
        id=str(run.id),
        name=run.name,
        state=(state.name if state else None) or "Pending",
        state_type=state.type.value if state else "PENDING",
        message=(state.message if state else None) or "",
        url=f"{_pages(client)}/runs/flow-run/{run.id}",
        started=run.start_time.isoformat().replace("+00:00", "Z") if run.start_time else "",
        seconds=run.estimated_run_time.total_seconds(),
        parameters=run.parameters,
    )


def _pages(client: SyncPrefectClient) -> str:
    """Return the address of Prefect's pages, as `connect_prefect` set it."""
    from prefect.settings import PREFECT_UI_URL

    return (PREFECT_UI_URL.value() or str(client.api_url).rstrip("/").removesuffix("/api")).rstrip("/")
