"""Inboxes for tests: a workspace without Git, a clock that a test moves, and an intake that only reads files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.inbox import take_deliveries
from pipelines.inbox.inbox_records import Refusal
from pipelines.inbox.take_deliveries import InboxPass, take_waiting
from pipelines.local.inbox_settings import InboxSettings
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

SLOT = Slot("plant-a", "asr")


def bare_workspace(root: Path, **inbox: object) -> Workspace:
    """Return a workspace that has settings and a state folder only."""
    root.mkdir(parents=True, exist_ok=True)
    return Workspace(root, replace(Settings(), inbox=InboxSettings(**inbox)))


def drop(folder: Path, name: str, files: dict[str, bytes] | bytes) -> Path:
    """Write a delivery: a file, or a folder with files."""
    path = folder / name
    if isinstance(files, bytes):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files)
        return path
    for inner, content in files.items():
        (path / inner).parent.mkdir(parents=True, exist_ok=True)
        (path / inner).write_bytes(content)
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclass
class Intake:
    """Stands for the intake: keeps the content of every delivery once, as a dataset version does by its key."""

    seen: list[str] = field(default_factory=list)
    """Names, in order, with repeats."""
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Key -> the files of a delivery."""
    refuse: dict[str, Exception] = field(default_factory=dict)
    """Name -> the error that it gets."""
    reported: list[Refusal] = field(default_factory=list)

    def __call__(self, path: Path) -> str:
        self.seen.append(path.name)
        if path.name in self.refuse:
            raise self.refuse[path.name]
        files = {"": path.read_bytes()} if path.is_file() else tree(path)
        key = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        self.kept.setdefault(key, files)
        return f"data/plant-a/asr/v{list(self.kept).index(key) + 1}"

    def run(self, workspace: Workspace, slot: Slot = SLOT) -> InboxPass:
        """Take in what is complete."""
        return take_waiting(workspace, slot, self, self.reported.append)


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass
class Clock:
    """The monotonic clock of the looks, moved by a test; waiting moves it, too."""

    now: float = 10_000.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @classmethod
    def install(cls, patch: pytest.MonkeyPatch) -> Clock:
        """Return a clock that the inbox uses from now on."""
        clock = cls()
        patch.setattr(take_deliveries, "monotonic", lambda: clock.now)
        patch.setattr(take_deliveries.time, "sleep", clock.sleep)
        return clock


@dataclass
class MemoryBucket:
    """Stands for a bucket: takes every key, also those that a real store refuses. What is in it is old."""

    content: dict[str, bytes] = field(default_factory=dict)
    name: str = "memory"

    def objects(self, prefix: str) -> Iterator[Any]:
        """Yield the objects below a prefix by key."""
        for key, content in sorted(self.content.items()):
            if key.startswith(prefix):
                etag = hashlib.sha256(content).hexdigest()
                yield {
                    "Key": key,
                    "Size": len(content),
                    "ETag": f'"{etag}"',
                    "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
                }

    def head(self, key: str) -> Any:
        """Return the times of an object, an hour after it was written; None if there is none."""
        written = datetime(2026, 1, 1, tzinfo=UTC)
        headers = {"date": format_datetime(written + timedelta(hours=1), usegmt=True)}
        return {"LastModified": written, "ResponseMetadata": {"HTTPHeaders": headers}} if key in self.content else None

    def open(self, key: str, etag: str = "") -> io.BytesIO:
        """Return the body of an object."""
        if key not in self.content:
            raise FileNotFoundError(key)
        return io.BytesIO(self.content[key])

    def put(self, key: str, content: str | bytes) -> None:
        """Write an object."""
        self.content[key] = content.encode() if isinstance(content, str) else content

    def put_new(self, key: str, text: str) -> bool:
        """Write an object unless there is one."""
        if new := key not in self.content:
            self.put(key, text)
        return new

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.content.pop(key, None)

    def require_space(self, folder: Path, size: int) -> None:
        """Make the folder."""
        folder.mkdir(parents=True, exist_ok=True)
