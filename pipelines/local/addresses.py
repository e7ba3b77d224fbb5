"""Addresses of the services: from `elp.yaml`, else from the record of `elp up` in `.elp/servers.json`."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from elp_core.files import write_whole
from pipelines.errors import ServiceError, WorkspaceError
from pipelines.local.accounts import log_in, prefect_key
from pipelines.local.processes import Process, alive
from pipelines.local.workspace import Workspace
from pipelines.prefect_names import PREFECT_LOGIN, PREFECT_PATH

MLFLOW = "mlflow"
PREFECT = "prefect"
RECORD_FILE = "servers.json"


@dataclass(frozen=True)
class Record:
    """What `elp up` started, and the ports that were used last."""

    processes: tuple[Process, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    configured: Mapping[str, int] = field(default_factory=dict)
    """The ports of `elp.yaml` in whose place `ports` were chosen."""
    auth: bool = False
    """Whether the MLflow server asks for a login, now and at later starts."""
    front: bool = False
    """Whether the MLflow server shows Prefect's pages; with a login, Prefect then asks for a key."""

    def find(self, name: str) -> Process | None:
        """Return the recorded process of this name, which may have ended."""
        return next((p for p in self.processes if p.name == name), None)


def read_record(workspace: Workspace) -> Record:
    """Return the record; it is empty if nothing was ever started. Raises WorkspaceError if the file is damaged."""
    path = workspace.state / RECORD_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        processes = tuple(Process(**entry) for entry in raw["processes"])
        # 0.1.0 did not record what was configured
        return Record(
            processes, raw["ports"], raw.get("configured", {}), raw.get("auth", False), raw.get("front", False)
        )
    except FileNotFoundError:
        return Record()
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            f"{path} is damaged ({error}); end the servers by hand if any run, then delete the file"
        ) from error


def write_record(workspace: Workspace, record: Record) -> None:
    """Write the record, whole or not at all."""
    write_whole(workspace.state / RECORD_FILE, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def mlflow_uri(workspace: Workspace) -> str:
    """Return the address of the MLflow server; for the workspace's own server, also set this process's login.

    Raises ServiceError if the workspace's own server is not running.
    """
    if elsewhere := workspace.settings.servers.mlflow_uri.rstrip("/"):
        return elsewhere
    log_in(workspace)
    return _own(workspace, MLFLOW)


def prefect_api(workspace: Workspace) -> str:
    """Return the address of the Prefect API, which ends in ``/api``; for the own server, also set this process's login.

    Raises ServiceError if the own one is down.
    """
    if elsewhere := workspace.settings.servers.prefect_api.rstrip("/"):
        return elsewhere
    log_in_to_prefect(workspace)
    return f"{_own(workspace, PREFECT)}/api"


def prefect_pages(workspace: Workspace, api: str) -> str:
    """Return the address of the pages of the Prefect server whose API is at `api`, without a slash at the end."""
    record = read_record(workspace)
    mlflow, prefect = record.find(MLFLOW), record.find(PREFECT)
    if record.front and mlflow and prefect and api == f"{prefect.address}/api":
        return mlflow.address + PREFECT_PATH
    return api.rstrip("/").removesuffix("/api")


def prefect_login(workspace: Workspace) -> str:
    """Return the key that the own Prefect server asks for; empty if it asks for none, or if Prefect runs elsewhere."""
    record = read_record(workspace)
    own = not workspace.settings.servers.prefect_api
    return prefect_key(workspace) if own and record.front and record.auth else ""


def log_in_to_prefect(workspace: Workspace) -> None:
    """Let this process's requests to the own Prefect server pass, and those of Prefect's clients in it."""
    if key := prefect_login(workspace):
        os.environ[PREFECT_LOGIN] = key


def _own(workspace: Workspace, name: str) -> str:
    if workspace.home:
        setting = "mlflow_uri" if name == MLFLOW else "prefect_api"
        raise ServiceError(
            f"this worker knows no address of the {name} server; set servers.{setting} in elp.yaml and push it"
        )
    process = read_record(workspace).find(name)
    if process is None or not alive(process):
        state = "was started but has ended" if process else "is not running"
        raise ServiceError(f"the {name} server of {workspace.root} {state}; start it with: elp up")
    return process.address
