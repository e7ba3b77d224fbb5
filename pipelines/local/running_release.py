"""Which release the workspace's MLflow server runs with: an upgrade in place does not reach a process that runs."""

from elp_core.errors import OpsError
from pipelines.errors import ServiceError
from pipelines.local.addresses import MLFLOW, mlflow_uri, read_record
from pipelines.local.processes import alive
from pipelines.local.workspace import Workspace
from pipelines.registry.client.workers import server_release
from pipelines.release import installed_release


def require_current_servers(workspace: Workspace) -> None:
    """Raise ServiceError if the MLflow server, here or elsewhere, runs with another release than the installed one.

    `elp up` would register runs for the installed release, which no worker of that server may take.
    """
    running = read_record(workspace).find(MLFLOW)
    # without a Git address, no run names a release
    elsewhere = workspace.settings.git and workspace.settings.servers.mlflow_uri
    if not elsewhere and (running is None or not alive(running)):
        return
    try:
        found = server_release(mlflow_uri(workspace))
    except OpsError:
        # `elp up` waits for a server that does not answer, and says so
        return
    if not found or found == (installed := installed_release()):
        return
    if elsewhere:
        raise ServiceError(
            f"the MLflow server at {elsewhere} (servers.mlflow_uri) runs with {found}, and {installed} is installed "
            f"here: the runs of this workspace would be for workers with {installed} only; install one release on "
            "all machines, upgrade that server first, then run: elp up"
        )
    raise ServiceError(
        f"the servers of this workspace run with {found}, and {installed} is installed; run: elp down, then: elp up"
    )
