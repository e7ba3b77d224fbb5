"""Change a slot's data as a whole or not at all: files, DVC, push, commit, tag, with a journal to undo it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.datasets import dvc
from pipelines.datasets.dataset_version import metafiles
from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Change:
    """What is to become of a slot's folder. Paths are relative to the workspace unless they are staged."""

    slot: Slot
    arriving: Mapping[Path, Path]
    """Staged file -> where it goes."""
    leaving: Sequence[Path]
    """Files that go away (DVC's cache keeps their content)."""
    folders: Sequence[Path]
    """Folders that DVC tracks anew."""
    describe: Callable[[Mapping[Path, str]], Mapping[Path, str]]
    """Texts of the files that Git keeps, from the DVC hash of each folder."""
    subject: str
    tags: Mapping[str, str]
    """Tag -> its message."""


@contextlib.contextmanager
def exclusive(workspace: Workspace, wait: float = _WAIT_SECONDS) -> Iterator[None]:
    """Be the only one who changes the workspace's data; waits for another run to end.

    Raises:
        WorkspaceError: where the other run does not end within `wait` seconds.
    """
    path = workspace.state / "locks" / "data.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise WorkspaceError(
                        f"another run is changing the data of {workspace.root} (lock {path}); wait for it and try again"
                    ) from error
                time.sleep(0.1)
        # closing the file lets go of the lock, even when the process is killed
        yield


@contextlib.contextmanager
def staging(workspace: Workspace, slot: Slot) -> Iterator[Path]:
    """An empty folder on the workspace's disk, gone afterwards."""
    folder = _staging_folder(workspace, slot)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def disk_guard(folder: Path, needed: int) -> Iterator[None]:
    """A full disk becomes an error that says so. `needed` is an estimate in bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WorkspaceError(
            f"the disk of {folder} has {_mebibytes(free)} free, this needs about {_mebibytes(needed)}; "
            "free some space and run it again, nothing was changed"
        )
    try:
        yield
    except OSError as error:
        if error.errno not in dvc.FULL:
            raise
        raise WorkspaceError(
            f"the disk of {folder} is full ({_mebibytes(shutil.disk_usage(folder).free)} free, about "
            f"{_mebibytes(needed)} needed); free some space and run it again, nothing was changed"
        ) from error


def store(workspace: Workspace, change: Change) -> str:
    """Carry out a change: move, `dvc add`, `dvc push`, commit, tag, in this order. Returns the revision.

    Whatever breaks off before the commit is undone; after it, only tags are missing and `recover` sets them.
    """
    root, paths = workspace.root, metafiles(change.slot)
    token = uuid.uuid4().hex
    aside = _staging_folder(workspace, change.slot) / "aside"
    journal: dict[str, Any] = {
        "head": git.head(root),
        "token": token,
        "tags": dict(change.tags),
        "added": [str(target) for target in change.arriving.values() if not (root / target).exists()],
        "left": {str(path): str(_aside(aside, path)) for path in change.leaving},
        "texts": {str(path): _text(root / path) for path in paths},
    }
    dvc.write_atomic(_journal(workspace, change.slot), json.dumps(journal))
    try:
        _move(root, change, aside)
        hashes = dvc.add(root, change.folders)
        dvc.push(root, change.folders)
        for path, text in change.describe(hashes).items():
            dvc.write_atomic(root / path, text)
        present = [path for path in paths if (root / path).exists()]
        git.commit(root, present, f"{change.subject}\n\nChange-Id: {token}")
    finally:
        # also where it went well: this sets the tags and removes the journal
        recover(workspace, change.slot)
    return git.head(root)


def recover(workspace: Workspace, slot: Slot) -> None:
    """Finish or undo what an earlier run, killed or failed, left half done."""
    path, root = _journal(workspace, slot), workspace.root
    text = _text(path)
    if text is None:
        return
    journal = json.loads(text)
    if revision := _committed(root, journal["head"], journal["token"]):
        for tag, message in journal["tags"].items():
            if not git.resolve(root, f"refs/tags/{tag}"):
                git.tag(root, tag, message, revision)
    else:
        _undo(root, slot, journal)
    path.unlink()


def _undo(root: Path, slot: Slot, journal: Mapping[str, Any]) -> None:
    for name in journal["added"]:
        (root / name).unlink(missing_ok=True)
    for name, before in journal["texts"].items():
        if before is None:
            (root / name).unlink(missing_ok=True)
        else:
            dvc.write_atomic(root / name, before)
    for name, aside in journal["left"].items():
        if Path(aside).exists():
            os.replace(aside, root / name)
    git.unstage(root, metafiles(slot))
    folders = {(root / name).parent for name in journal["added"]}
    for folder in sorted(folders | {root / slot.folder, root / slot.folder.parent}, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _committed(root: Path, head: str, token: str) -> str:
    """The commit made by the change `token` since `head`, or empty."""
    if git.head(root) == head:
        return ""
    span = f"{head}..HEAD" if head else "HEAD"
    return git.git(root, "log", "--format=%H", "--fixed-strings", f"--grep=Change-Id: {token}", span)


def _move(root: Path, change: Change, aside: Path) -> None:
    aside.mkdir(parents=True, exist_ok=True)
    for path in change.leaving:
        _aside(aside, path).parent.mkdir(exist_ok=True)
        os.replace(root / path, _aside(aside, path))
    for staged, target in change.arriving.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        if not (root / target).exists():
            os.replace(staged, root / target)


def _aside(folder: Path, path: Path) -> Path:
    """Where a file waits that goes away; two folders of a slot may hold files of one name."""
    return folder / path.parent.name / path.name


def _journal(workspace: Workspace, slot: Slot) -> Path:
    return workspace.state / "journal" / f"{slot.site}.{slot.task}.json"


def _staging_folder(workspace: Workspace, slot: Slot) -> Path:
    return workspace.state / "staging" / f"{slot.site}.{slot.task}"


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
