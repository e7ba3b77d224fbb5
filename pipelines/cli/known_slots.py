"""The slots and versions of a workspace as its folders and its server name them, read without heavy imports.

They serve suggestions and shell completion only: a name that is missing here may still be right.
"""

from __future__ import annotations

import difflib
import itertools
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_ANSWER_SECONDS = 0.5
"""How long a server may take to name versions."""
_FOLDER_OPTIONS = ("-w", "--workspace")


def workspace_root(start: Path | None = None) -> Path | None:
    """Return the folder of the nearest workspace, without reading its settings; None if there is none."""
    begin = (start or Path(os.environ.get("ELP_WORKSPACE") or Path.cwd())).resolve()
    return next((folder for folder in (begin, *begin.parents) if (folder / "elp.yaml").is_file()), None)


def known_slots(start: Path | None = None) -> list[str]:
    """Return the slots that have a data folder or an inbox, SITE/TASK each, by name."""
    root = workspace_root(start)
    if root is None:
        return []
    folders = (folder for parent in ("data", "inbox") for folder in (root / parent).glob("*/*") if folder.is_dir())
    return sorted({f"{folder.parent.name}/{folder.name}" for folder in folders})


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is spelt most like `word`; empty if none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def meant_slot(arguments: list[str]) -> str:
    """Return the slot that was probably meant by a word of a command line that names no slot of the workspace."""
    given = (value for option, value in itertools.pairwise(arguments) if option in _FOLDER_OPTIONS)
    known = known_slots(next(map(Path, given), None))
    for word in arguments:
        slot = word.partition("@")[0]
        # a path has more parts, and a slot that exists was not misspelt
        if slot.count("/") == 1 and not slot.startswith((".", "/", "-")):
            return "" if slot in known else nearest(slot, known)
    return ""


def dataset_versions_of(slot: str, start: Path | None = None) -> list[str]:
    """Return the dataset versions of a slot (v1, v2 …), the newest first, from the tags of Git."""
    root = workspace_root(start)
    if root is None:
        return []
    command = ["git", "tag", "--list", f"data/{slot}/v*", "--sort=-version:refname"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=2.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [tag.rsplit("/", 1)[-1] for tag in done.stdout.split()]


def adapter_versions_of(slot: str, start: Path | None = None) -> list[str]:
    """Return the registered versions of a slot, the newest first; none if no server answers at once."""
    from elp_core.errors import OpsError
    from pipelines.local import accounts
    from pipelines.local.addresses import mlflow_uri
    from pipelines.local.http_client import request
    from pipelines.local.workspace import open_workspace

    try:
        workspace = open_workspace(start)
        login = accounts.service_login(workspace)
        address = f"{mlflow_uri(workspace)}/elp/api/v1/adapters?slot={slot}"
        found = request(address, timeout=_ANSWER_SECONDS, login=login)["adapters"]
        return [str(number) for number in sorted({one["version"] for one in found if not one["deleted"]}, reverse=True)]
    except (OpsError, OSError, ValueError, KeyError, TypeError):
        return []
