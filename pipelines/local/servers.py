"""The servers of `elp up`: how each is started, and at which address it is."""

from pipelines.local import accounts
from pipelines.local import service_commands as commands
from pipelines.local.addresses import MLFLOW, PREFECT, Record
from pipelines.local.workspace import Workspace
from pipelines.prefect_names import PREFECT_PATH


def server_command(
    workspace: Workspace, record: Record, name: str, api: str, port: int
) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a server of the record."""
    environment = commands.server_environment(workspace) | {"PREFECT_API_URL": api}
    host = workspace.settings.servers.host
    key = accounts.prefect_key(workspace) if record.front and record.auth else ""
    if name == PREFECT:
        front = server_address(host, record.ports[MLFLOW]) if record.front else ""
        more = commands.behind_the_front(workspace, front, key) if front else {}
        return commands.prefect_command(host, port), environment | more
    if record.front:
        environment |= commands.showing_prefect(api.removesuffix("/api"), key)
    environment |= commands.artifact_environment(workspace)
    login = accounts.login_environment(workspace) if record.auth else {}
    return commands.mlflow_command(workspace, host, port), environment | login


def server_address(host: str, port: int) -> str:
    """Return the address of a server for a client on this machine."""
    return f"http://{_reachable(host)}:{port}"


def shown_address(record: Record, name: str, address: str) -> str:
    """Return the address of a server for people: that of the MLflow server has all pages."""
    mlflow = record.find(MLFLOW)
    return f"{mlflow.address}{PREFECT_PATH}/" if name == PREFECT and record.front and mlflow else address


def _reachable(host: str) -> str:
    """Return the address that a client on this machine uses."""
    # a wildcard address is one to listen at, not one to connect to
    if host in {"0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
