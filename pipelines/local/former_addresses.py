"""Earlier addresses of the workspace (`git`, or the folder), under which Prefect may have deployments and runs of it.

`.elp/schedules-git.json` has them and the present one. An address is noted before anything is made under it, and
dropped after the last schedule under it has ended, so that an interrupted move is completed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from elp_core.files import write_whole
from pipelines.local.workspace import SETTINGS_FILE, Workspace

_FILE = "schedules-git.json"


def note_address(workspace: Workspace) -> None:
    """Note the present address."""
    # also if it is there: the file of an earlier release has no folder, and a later move would be lost
    _write(workspace, list(dict.fromkeys([*_read(workspace), workspace.address])))


def former_addresses(workspace: Workspace) -> list[str]:
    """Return the earlier addresses, without a folder that still has a workspace: this one may be a copy of it."""
    return [name for name in _read(workspace) if name != workspace.address and not has_workspace(workspace, name)]


def drop_former_addresses(workspace: Workspace) -> None:
    """Note that nothing is left under the former addresses."""
    if former := former_addresses(workspace):
        _write(workspace, [name for name in _read(workspace) if name not in former])


def has_workspace(workspace: Workspace, address: str) -> bool:
    """Return whether an address is a folder with another workspace."""
    # not Path.is_file, which raises an error for a folder that may not be read
    folder = os.path.isabs(address) and os.path.isfile(os.path.join(address, SETTINGS_FILE))
    return folder and Path(address).resolve() != workspace.root


def may_take_over(workspace: Workspace, owner: str) -> bool:
    """Return whether the deployments of `owner` with the name of this workspace are its own from before a move.

    A Prefect server of its own keeps those of no other workspace; on one elsewhere, the address must be noted here.
    """
    if has_workspace(workspace, owner):
        return False
    return not workspace.settings.servers.prefect_api or owner in former_addresses(workspace)


def _read(workspace: Workspace) -> list[str]:
    try:
        noted = json.loads((workspace.state / _FILE).read_text(encoding="utf-8"))
        # of an earlier release, which wrote the value of `git`: empty means the folder
        return [str(name) or str(workspace.root) for name in noted]
    except (OSError, ValueError, TypeError):
        # of an earlier release: those of the folder may be left from before `git` was set
        return [str(workspace.root)]


def _write(workspace: Workspace, addresses: list[str]) -> None:
    write_whole(workspace.state / _FILE, json.dumps(addresses) + "\n")
