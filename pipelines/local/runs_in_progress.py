"""The flow runs in progress, which `elp down` would interrupt."""

from collections.abc import Iterable
from typing import Any

from pipelines.errors import WorkspaceError
from pipelines.local.addresses import PREFECT, log_in_to_prefect, read_record
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import alive, descendants
from pipelines.local.service_commands import POOLS
from pipelines.local.workspace import Workspace

_STATES = ("RUNNING", "PENDING", "CANCELLING")


def unfinished_runs(api: str, pools: Iterable[str] = POOLS) -> list[dict[str, Any]]:
    """Return the runs of some work pools that have begun, or are about to, as Prefect describes them.

    No answer raises OSError.
    """
    wanted = {
        "flow_runs": {"state": {"type": {"any_": list(_STATES)}}},
        "work_pools": {"name": {"any_": list(pools)}},
        "limit": 200,
    }
    found: list[dict[str, Any]] = prefect_request(f"{api}/flow_runs/filter", wanted)
    return found


def runs_in_progress(workspace: Workspace) -> list[str]:
    """Return the names of the runs in progress on this workspace's Prefect server, or on its workers here.

    A Prefect server that does not answer, or does not run, gives none: `elp down` must work without it.
    """
    record = read_record(workspace)
    server = record.find(PREFECT)
    own = server is not None and alive(server)
    api = f"{server.address}/api" if server and own else workspace.settings.servers.prefect_api.rstrip("/")
    workers = [process for process in record.processes if process.name in POOLS and alive(process)]
    if not api or not (own or workers):
        return []
    try:
        log_in_to_prefect(workspace)
        found = unfinished_runs(api)
    except (OSError, WorkspaceError):
        return []
    # a server that runs elsewhere continues; of its runs only those of our workers end
    here = {str(pid) for worker in workers for pid in descendants(worker)}
    return [run["name"] for run in found if own or run.get("infrastructure_pid") in here]
