"""What one training left on this machine, kept until (and after) the registry has it, so that no result is lost.

<cache>/bundles/<training key>/
├── bundle/          the adapter bundle
├── checkpoint/      while training goes on; an interrupted one goes on from here
├── report/          what goes to the MLflow run beside it: curves.png, lineage.json, packages.txt
└── training.json    metrics and history; written last, so where it is the rest is whole
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.errors import WorkspaceError
from pipelines.registry.lineage import Lineage

_DONE = "training.json"


@dataclass(frozen=True)
class Trained:
    """A finished training on disk."""

    folder: Path
    bundle_digest: str
    metric: str
    value: float
    """Of the metric on the validation split."""
    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, Any]] = ()
    """One entry an epoch, as the training loop tells it."""

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.folder / "bundle"

    @property
    def report(self) -> Path:
        """Files for people: curves, lineage, packages."""
        return self.folder / "report"

    @cached_property
    def lineage(self) -> Lineage:
        """The lineage inside the bundle."""
        return Lineage.from_json(json.loads((self.bundle / "lineage.json").read_text(encoding="utf-8")))


def training_folder(cache: Path, key: str) -> Path:
    """Where the training with this key lies on this machine."""
    return cache / "bundles" / key


def find_trained(cache: Path, key: str) -> Trained | None:
    """The finished training with this key, or None; one whose bundle was altered since counts as none."""
    from elp_core.bundle import bundle_digest, verify_bundle
    from elp_core.errors import BundleError

    folder = training_folder(cache, key)
    try:
        values = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        verify_bundle(folder / "bundle")
    except (OSError, ValueError, BundleError):
        return None
    if bundle_digest(folder / "bundle") != values["bundle_digest"]:
        return None
    return Trained(folder=folder, **values)


def write_trained(trained: Trained) -> None:
    """Write the marker that makes a training count as finished."""
    values = {
        "bundle_digest": trained.bundle_digest,
        "metric": trained.metric,
        "value": trained.value,
        "metrics": dict(trained.metrics),
        "history": [dict(entry) for entry in trained.history],
    }
    write_text(trained.folder / _DONE, json.dumps(values, indent=1, sort_keys=True))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def one_at_a_time(cache: Path, key: str, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the training's lock: of two processes on one machine the second waits, and finds the work done."""
    folder = training_folder(cache, key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("another process trains exactly this; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """A full or read-only disk becomes an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
            raise
        raise WorkspaceError(
            f"cannot write to {folder}: {error.strerror}; make room or rights there and run it again "
            "(nothing half-written is used)"
        ) from error
