"""Secrets of a workspace's stores: `.elp/secrets.env`, a file for its owner only; the environment overrides it.

| name | for |
|---|---|
| `PGPASSWORD` | both PostgreSQL databases; different passwords are in a file that `PGPASSFILE` names |
| `ELP_ARTIFACTS_ACCESS_KEY_ID`, `ELP_ARTIFACTS_SECRET_ACCESS_KEY` | the MLflow server alone: its artifacts on S3 |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | DVC: data on S3, for all who read or store it |

`elp up` gives the first two rows to the servers and to no worker. A worker on another machine has the file in its home.
"""

import os
import stat
from pathlib import Path

from elp_core.files import write_whole
from pipelines.errors import WorkspaceError
from pipelines.local.worker_home import HOME
from pipelines.s3_client import ARTIFACTS_KEY, ARTIFACTS_SECRET

SECRETS_FILE = "secrets.env"
DATABASE_NAMES = ("PGPASSWORD", "PGPASSFILE")
ARTIFACTS_NAMES = (ARTIFACTS_KEY, ARTIFACTS_SECRET)
DATA_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_NAMES = (*DATABASE_NAMES, *ARTIFACTS_NAMES, *DATA_NAMES)

PLAIN_S3 = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
"""For stores other than AWS: many refuse the checksums that boto3 sends by default, or write them into the file."""

_TEMPLATE = """\
# Secrets of this workspace's stores. This file is for its owner only (chmod 600) and never in Git.
# Variables of the environment override it. docs/how-to/team.md says who uses which.
# PGPASSWORD=
# ELP_ARTIFACTS_ACCESS_KEY_ID=
# ELP_ARTIFACTS_SECRET_ACCESS_KEY=
# AWS_ACCESS_KEY_ID=
# AWS_SECRET_ACCESS_KEY=
"""


def write_template(state: Path) -> Path:
    """Write a file with the names of all secrets and no values, unless there is one; return its path."""
    path = state / SECRETS_FILE
    if not path.exists():
        write_whole(path, _TEMPLATE, mode=0o600)
    return path


def read_secrets(state: Path) -> dict[str, str]:
    """Return the secrets by name, those of the environment first; without a file, those of the environment only.

    Raises:
        WorkspaceError: Others than the owner may read the file, or a line of it is not NAME=VALUE with a known name.
    """
    given = {name: os.environ[name] for name in _NAMES if os.environ.get(name)}
    path = state / SECRETS_FILE
    try:
        with path.open(encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise WorkspaceError(f"{path} can be read by others than its owner; run: chmod 600 {path}")
            text = file.read()
    except FileNotFoundError:
        return given
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); write it again, one NAME=VALUE on each line") from error
    return _parsed(path, text) | given


def _parsed(path: Path, text: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in _NAMES:
            # the line itself may be a secret: it is not shown
            expected = ", ".join(_NAMES)
            raise WorkspaceError(f"line {number} of {path} is not NAME=VALUE with one of these names: {expected}")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if value:
            found[name] = value
    return found


def give_data_secrets(root: Path) -> None:
    """Let DVC in this process read and write the data of the workspace `root`: its keys, and plain requests to S3.

    A worker's clone has no secrets: those of the worker's home are taken. What the environment has already is kept.
    """
    home = os.environ.get(HOME)
    secrets = (read_secrets(Path(home)) if home else {}) | read_secrets(root / ".elp")
    for name in DATA_NAMES:
        if name in secrets:
            os.environ.setdefault(name, secrets[name])
    config = root / ".dvc" / "config"
    if config.is_file() and "endpointurl" in config.read_text(encoding="utf-8", errors="replace"):
        for name, value in PLAIN_S3.items():
            os.environ.setdefault(name, value)
