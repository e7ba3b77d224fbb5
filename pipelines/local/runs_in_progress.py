"""The flow runs in progress, which `elp down` would interrupt."""

from collections.abc import Callable, Iterable
from typing import Any

from pipelines.errors import WorkspaceError
from pipelines.local.addresses import PREFECT, Record, log_in_to_prefect, read_record
from pipelines.local.interrupted_runs import local_workers, worker_of
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import alive, descendants
from pipelines.local.service_commands import POOLS
from pipelines.local.workspace import Workspace

_STATES = ("RUNNING", "PENDING", "CANCELLING")
_PAGE = 200
"""Runs in one answer, Prefect's limit."""


def unfinished_runs(api: str, pools: Iterable[str] = POOLS) -> list[dict[str, Any]]:
    """Return the runs of some work pools that have begun, or are about to, as Prefect describes them.

    No answer raises OSError.
    """
    wanted = {
        "flow_runs": {"state": {"type": {"any_": list(_STATES)}}},
        "work_pools": {"name": {"any_": list(pools)}},
        "sort": "ID_DESC",
        "limit": _PAGE,
    }
    found: list[dict[str, Any]] = []
    while True:
        page = prefect_request(f"{api}/flow_runs/filter", {**wanted, "offset": len(found)})
        found += page
        if len(page) < _PAGE:
            return found


def prefect_address(record: Record) -> str:
    """Return the address of the API of the own Prefect server; empty if it does not run."""
    server = record.find(PREFECT)
    return f"{server.address}/api" if server and alive(server) else ""


def runs_of_workers(workspace: Workspace, record: Record, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the unfinished runs of this machine's workers on the own Prefect server; none if it does not answer."""
    api = prefect_address(record)
    if not api:
        return []
    try:
        log_in_to_prefect(workspace)
        return [run for run in unfinished_runs(api) if worker_of(run) in local_workers(workspace, record)]
    except (OSError, WorkspaceError) as error:
        log(f"the interrupted flow runs could not be marked in Prefect: {error}")
        return []


def runs_in_progress(workspace: Workspace) -> list[str]:
    """Return the names of the runs in progress on this workspace's Prefect server, or on its workers here.

    A Prefect server that does not answer, or does not run, gives none: `elp down` must work without it.
    """
    record = read_record(workspace)
    own = prefect_address(record)
    api = own or workspace.settings.servers.prefect_api.rstrip("/")
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
