"""Which release the workspace's own MLflow server runs with: an upgrade in place does not reach a process that runs."""

from elp_core.errors import OpsError
from pipelines.errors import ServiceError
from pipelines.local.addresses import MLFLOW, mlflow_uri, read_record
from pipelines.local.processes import alive
from pipelines.local.workspace import Workspace
from pipelines.registry.client.workers import server_release
from pipelines.release import installed_release


def require_current_servers(workspace: Workspace) -> None:
    """Raise ServiceError if the own MLflow server runs with another release than the installed one.

    `elp up` keeps what runs and would register runs for the new release, which no worker of the old server may take.
    """
    running = read_record(workspace).find(MLFLOW)
    if running is None or not alive(running):
        return
    try:
        found = server_release(mlflow_uri(workspace))
    except OpsError:
        # `elp up` waits for a server that does not answer, and says so
        return
    if found and found != (installed := installed_release()):
        raise ServiceError(
            f"the servers of this workspace run with {found}, and {installed} is installed; run: elp down, then: elp up"
        )
