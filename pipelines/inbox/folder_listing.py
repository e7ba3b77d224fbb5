"""List what is in a folder of deliveries, as `Entry`. Nothing is opened, and links are not followed out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pipelines.inbox.inbox_entry import Entry, ListedFile, is_left_over, is_temporary, shown_name


def scan_entry(path: Path) -> Entry | None:
    """Return the entry at a path; None if there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode):
        return Entry(path.name, (_listed("", found),))
    if not stat.S_ISDIR(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "neither a file nor a folder"
        return Entry(path.name, (), fault=f"it is {what}; put the files themselves there")
    files: list[ListedFile] = []
    try:
        unfinished = _scan_folder(path, files)
    except OSError as error:
        unfinished = f"it cannot be read now ({error.strerror or error})"
    return Entry(path.name, tuple(sorted(files, key=lambda one: one.name)), unfinished)


def _scan_folder(top: Path, files: list[ListedFile]) -> str:
    """Add the files below a folder to the list; return why the delivery is still being written, or empty."""
    unfinished, folders = "", [(str(top), "")]
    while folders:
        folder, prefix = folders.pop()
        for one in os.scandir(folder):
            if is_left_over(one.name):
                continue
            name = prefix + one.name
            if one.is_dir(follow_symlinks=False):
                folders.append((one.path, f"{name}/"))
                continue
            found = one.stat()
            if is_temporary(one.name):
                unfinished = f"{shown_name(name)} is still being written"
            elif not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                # an importer that opens a pipe would wait for ever
                unfinished = f"{shown_name(name)} is neither a file nor a folder"
            files.append(_listed(name, found))
    return unfinished


def folder_slots(base: Path) -> Sequence[tuple[str, str]]:
    """Return the site and the task of each folder ``SITE/TASK`` below a common inbox."""
    return sorted((p.parent.name, p.name) for p in base.glob("*/*") if p.is_dir() and not p.name.startswith("."))


def _listed(name: str, found: os.stat_result) -> ListedFile:
    # a copy keeps the time of the sender's clock, which may be in the future; no file was changed after its `ctime`
    return ListedFile(name, found.st_size, str(found.st_mtime_ns), min(found.st_mtime, found.st_ctime))
