"""The list of all looks at a slot: one line of JSON each, with the digest of the line before it.

The state is written before the line, and it holds the line too. A look that was interrupted between the two is finished
by the next one, so no look counts twice and none is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elp_core.fail_points import durable_write
from pipelines.errors import WorkspaceError
from pipelines.registry.signing.canonical_json import canonical_json, parse_json, sha256
from pipelines.registry.slot import Slot

LOOKS_FILE = "looks.jsonl"


def monitor_folder(state: Path, slot: Slot) -> Path:
    """Return the folder of a slot's monitor below a workspace's state folder."""
    return state / "monitor" / slot.site / slot.task


def chained(entry: dict[str, Any], previous: str) -> dict[str, Any]:
    """Return an entry with the digest of the line before it (empty for the first one)."""
    return {**entry, "previous": previous}


def entry_digest(entry: dict[str, Any]) -> str:
    """Return the digest of an entry, which the next one names."""
    return "sha256:" + sha256(canonical_json(entry))


def append_entry(folder: Path, entry: dict[str, Any]) -> None:
    """Append an entry, unless it is the last one already; it is on the disk when this returns."""
    path, line = folder / LOOKS_FILE, canonical_json(entry) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        # a part of a line is what a power failure left of this same entry
        if whole < len(content):
            file.truncate(whole)
        if content[:whole].endswith(b"\n" + line) or content[:whole] == line:
            return
        with durable_write("look of the monitor"):
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def recorded_looks(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield all entries of a slot, oldest first.

    Raises:
        WorkspaceError: A line was changed, removed or added.
    """
    path = folder / LOOKS_FILE
    previous = ""
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else (), start=1):
        entry = parse_json(line, f"{path} line {number}")
        if entry.get("previous") != previous:
            raise WorkspaceError(
                f"{path} line {number} does not follow the line before it: the list was changed; restore a backup"
            )
        previous = entry_digest(entry)
        yield entry
