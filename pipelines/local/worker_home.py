"""The folder of a worker: its addresses and accounts, its keys, and what it may lose at any time.

<home>/
├── worker.json      addresses, name and accounts, mode 0600
├── secrets.env      keys of a DVC remote on S3, if the operator wrote them
├── keys/            its own private keys, and the keys that the server trusts
├── clones/, cache/  copies of what is elsewhere; they may be deleted at any time
├── logs/            one file for each Prefect worker
└── processes.json   the Prefect workers that `elp worker` started
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.errors import WorkspaceError

HOME = "ELP_WORKER_HOME"
"""Environment variable of a worker's processes: its folder."""
_FILE = "worker.json"


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker knows about the servers."""

    name: str
    """Unique among the workers of a server; the first part of the names of its Prefect workers."""
    prefect_api: str
    """Address of the Prefect API, which ends in ``/api``."""
    mlflow_uri: str
    git: str = ""
    """Address of the workspace's Git repository; empty if the runs name a folder of this machine."""
    remote: str = ""
    """Address of the DVC remote, for people: a run takes it from the clone."""
    username: str = ""
    """The worker's account on a server with a login; empty without one."""
    password: str = ""
    prefect_key: str = ""


def worker_home(named: Path | None = None) -> Path:
    """Return the folder: the named one, else ELP_WORKER_HOME, else `elp-worker` in the user's state folder."""
    if named is not None:
        return named.expanduser().resolve()
    if given := os.environ.get(HOME):
        return Path(given).expanduser().resolve()
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    return (state / "elp-worker").resolve()


def read_worker(home: Path) -> WorkerSettings:
    """Return what the enrolment wrote. Raises WorkspaceError if there is nothing, or if it is damaged."""
    path = home / _FILE
    try:
        return from_dict(WorkerSettings, json.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"{home} is no enrolled worker; on the control host run: elp worker invite NAME, and here the command that "
            "it prints"
        ) from error
    except (OSError, ValueError, AttributeError, TypeError, ConfigError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); enrol this worker again: elp worker enrol") from error


def write_worker(home: Path, settings: WorkerSettings) -> None:
    """Write the settings, readable by their owner only."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(home / _FILE, json.dumps(asdict(settings), indent=2) + "\n", mode=0o600)
