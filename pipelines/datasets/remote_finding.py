"""What `elp doctor` says of the DVC remote; it reads only."""

import os
from pathlib import Path

from pipelines.datasets.remote_check import lost_files
from pipelines.datasets.versions import dataset_slots
from pipelines.local.workspace import Workspace
from pipelines.number_text import count


def examine_remote(workspace: Workspace) -> tuple[str, str, str]:
    """Return outcome, detail and remedy: whether the remote holds the newest version and golden set of every slot.

    Raise VersioningError if the remote does not answer.
    """
    slots = dataset_slots(workspace)
    address = workspace.remote
    if lost := lost_files(workspace, slots):
        shown = ", ".join(f"{slot} ({len(found)})" for slot, found in list(lost.items())[:3])
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        remedy = "push them again, from a machine whose cache has them: dvc push --all-tags; or restore a backup"
        return "fail", f"{address} lacks files of the newest version or golden set of {shown}{more}", remedy
    held = f"holds the newest versions of {count(len(slots), 'slot')}" if slots else "has no version to hold yet"
    if "://" in address:
        return "ok", f"{address} {held}", ""
    # the nearest folder that exists decides whether the remote can be written
    folder = next(place for place in (Path(address), *Path(address).parents) if place.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return "fail", f"{address} cannot be written ({folder})", "give the user of this machine access to it"
    missing = "" if Path(address).is_dir() else "; the first delivery makes the folder"
    return "ok", f"{address} can be written and {held}{missing}", ""
