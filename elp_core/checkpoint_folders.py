"""Where a relative name of a checkpoint is looked up: below the workspace that names it, then below the current folder.

The name itself stays as it is written: lineages, keys and records have it. Without torch.
"""

import os
from pathlib import Path

CHECKPOINTS_VARIABLE = "ELP_CHECKPOINTS_BELOW"
"""Environment variable of a child process, which opens no workspace: the folder of its parent."""
_workspaces: list[Path] = []
"""The folder of the workspace that this process opened last, if it opened any."""


def look_below(workspace: Path) -> None:
    """Look up relative names below this folder from now on, in the whole process."""
    _workspaces[:] = [workspace]


def handed_on() -> dict[str, str]:
    """Return the environment in which a child process looks up relative names as this one does."""
    return {CHECKPOINTS_VARIABLE: str(_workspaces[0].resolve())} if _workspaces else {}


def local_folder(id_or_path: str) -> Path | None:
    """Return the folder that a name of a checkpoint means; None if there is none, as for a hub id."""
    return next((place for place in _places(id_or_path) if place.is_dir()), None)


def is_hub_id(id_or_path: str) -> bool:
    """Return whether a name may be one of the hub: OWNER/NAME."""
    relative = not Path(id_or_path).expanduser().is_absolute() and not id_or_path.startswith((".", "~"))
    return relative and id_or_path.count("/") == 1


def is_owner_folder(id_or_path: str) -> bool:
    """Return whether the first part of OWNER/NAME is a folder here, so that the name is most likely a path."""
    return any(place.parent.is_dir() for place in _places(id_or_path))


def _places(id_or_path: str) -> list[Path]:
    path = Path(id_or_path).expanduser()
    # an absolute path replaces what is before it
    inherited = os.environ.get(CHECKPOINTS_VARIABLE)
    folders = _workspaces or ([Path(inherited)] if inherited else [])
    return [*(folder / path for folder in folders), path]
