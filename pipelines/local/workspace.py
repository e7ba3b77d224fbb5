"""A workspace: the Git + DVC repository that a user operates, and the places in it."""

import os
from dataclasses import dataclass
from pathlib import Path

from elp_core.checkpoint_folders import local_folder, look_below
from pipelines.errors import WorkspaceError
from pipelines.local.settings import Settings, read_settings

SETTINGS_FILE = "elp.yaml"
BOX_SETTINGS = "box.json"
"""In the folder of an edge box, see `box_home`."""


@dataclass(frozen=True)
class Workspace:
    """An opened workspace. `root` is absolute."""

    root: Path
    settings: Settings
    revision: str = ""
    """The commit at which `settings` were read; empty if they were read from the folder."""
    home: Path | None = None
    """The home of the worker that cloned it for its runs (`open_for_run`); None if it was opened in place."""

    @property
    def state(self) -> Path:
        """`.elp/`: caches, keys, local servers; never in Git."""
        return self.root / ".elp"

    @property
    def cache(self) -> Path:
        """What was fetched, computed or trained here, by content; a worker's workspaces share one."""
        return (self.home or self.state) / "cache"

    @property
    def address(self) -> str:
        """Return what names the workspace in a flow run: its Git address, or without one its folder."""
        return self.settings.git or str(self.root)

    def owns(self, name: object) -> bool:
        """Return whether a flow run or a deployment with this parameter `workspace` is one of this workspace.

        Those that were made before `git` was set have the folder.
        """
        return name in (self.address, str(self.root))

    def backbone_name(self, typed: str) -> str:
        """Return the name of a checkpoint as the settings can have it: a path that holds from every current folder.

        A folder of the workspace stays relative to its root. A hub id, and what is no folder, stay as they are.
        """
        folder, root = local_folder(typed), self.root.resolve()
        if folder is None or Path(typed).expanduser().is_absolute() or (self.root / typed).is_dir():
            return typed
        found = folder.resolve()
        return str(found.relative_to(root) if found.is_relative_to(root) else found)

    @property
    def remote(self) -> str:
        """Return the DVC remote, a relative folder made absolute."""
        remote = self.settings.remote
        return remote if "://" in remote else str((self.root / remote).resolve())


def open_workspace(start: Path | None = None) -> Workspace:
    """Open the nearest workspace at or above `start` (default: ELP_WORKSPACE, or the current folder).

    Raises WorkspaceError if there is none, ConfigError if its `elp.yaml` has faults.
    """
    begin = (start or Path(os.environ.get("ELP_WORKSPACE") or Path.cwd())).resolve()
    root = next((folder for folder in (begin, *begin.parents) if (folder / SETTINGS_FILE).is_file()), None)
    if root is None:
        raise WorkspaceError(f"no {SETTINGS_FILE} in {begin} or above; make a workspace with: elp init DIR")
    path = root / SETTINGS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise WorkspaceError(f"{path} is not UTF-8: {error}") from error
    settings = read_settings(text, str(path))
    # its backbones may be named by relative paths, whatever the current folder is
    look_below(root)
    return Workspace(root, settings)
