"""A workspace: the Git + DVC repository that a user operates, and the places in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import WorkspaceError
from pipelines.local.settings import Settings, read_settings
from pipelines.registry.slot import Slot

SETTINGS_FILE = "elp.yaml"


@dataclass(frozen=True)
class Workspace:
    """An opened workspace. `root` is absolute."""

    root: Path
    settings: Settings

    @property
    def state(self) -> Path:
        """`.elp/`: caches, keys, local servers; never in Git."""
        return self.root / ".elp"

    def slot_folder(self, slot: Slot) -> Path:
        """Return the folder of the slot's data."""
        return self.root / slot.folder

    @property
    def remote(self) -> str:
        """Return the DVC remote, a relative folder made absolute."""
        remote = self.settings.remote
        return remote if "://" in remote else str((self.root / remote).resolve())


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above `start` (default: ELP_WORKSPACE, or the current folder) with `elp.yaml`.

    Raises:
        WorkspaceError: There is none.
    """
    begin = (start or Path(os.environ.get("ELP_WORKSPACE") or Path.cwd())).resolve()
    for folder in (begin, *begin.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    raise WorkspaceError(f"no {SETTINGS_FILE} in {begin} or above; make a workspace with: elp init DIR")


def open_workspace(start: Path | None = None) -> Workspace:
    """Open the workspace at or above `start`.

    Raises:
        WorkspaceError: There is none.
        ConfigError: Its `elp.yaml` has faults.
    """
    root = find_root(start)
    path = root / SETTINGS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise WorkspaceError(f"{path} is not UTF-8: {error}") from error
    return Workspace(root, read_settings(text, str(path)))
