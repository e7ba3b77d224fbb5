"""The data of a slot that `elp gc` collects: three deliveries, then a drop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.datasets.versions import load_split
from pipelines.errors import VersioningError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot

SLOT = Slot("plant", "asr")
AT_ONCE = {"grace_days": 0, "trash_days": 0, "keep_last": 0}
TAGS = [f"data/plant/asr/v{number}" for number in (1, 2, 3, 4)]
"""The champion was trained on the first."""


def with_policy(workspace: Workspace, **over: object) -> Workspace:
    """Change the settings of the retention."""
    settings = json.loads((workspace.root / "elp.yaml").read_text())
    settings["retention"] |= over
    (workspace.root / "elp.yaml").write_text(json.dumps(settings))
    return open_workspace(workspace.root)


def readable(workspace: Workspace, tag: str, tmp_path: Path) -> bool:
    """Whether the remote has a whole version."""
    # DVC's cache would give what the remote has lost
    shutil.rmtree(workspace.root / ".dvc" / "cache", ignore_errors=True)
    cache = tmp_path / f"cache-{tag.rsplit('/', 1)[1]}-{len(list(tmp_path.iterdir()))}"
    try:
        return bool(load_split(str(workspace.root), tag, SLOT, None, cache))
    except VersioningError:
        return False


def with_recordings(workspace: Workspace, speaker: str) -> set[str]:
    """Return which parts of the remote hold recordings of a speaker: its ``files``, its ``trash``."""
    remote = workspace.root / ".elp" / "remote"
    found = set[str]()
    for part, folder in (("files", remote / "files"), ("trash", remote / "elp-trash")):
        for path in folder.rglob("*"):
            if path.is_file() and not path.name.endswith(".dir"):
                table = pq.read_table(path, columns=["speaker"])
                found |= {part} if speaker in table["speaker"].to_pylist() else set()
    return found
