"""Tensors on disk that can be worked out again: content-addressed, bounded, safe under concurrent processes.

One safetensors file a tensor, written beside its place and renamed, so that a reader never sees half of one; read by
mapping it, so that a batch costs page cache and no copy. The least recently used files go when the bound is reached. A
file that goes while it is mapped stays readable to whoever mapped it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from elp_core.types import Seconds

log = logging.getLogger(__name__)

DISK_BYTES = 16 * 2**30
SHARE = 32
"""The folder is measured again whenever 1 / SHARE of the bound was written since."""
ABANDONED: Seconds = 3600.0
"""An unfinished file this old belongs to a process that was killed."""
_SUFFIX, _UNFINISHED = ".safetensors", ".tmp"


@dataclass(frozen=True)
class _Entry:
    used: float
    size: int
    path: Path


class TensorStore:
    """Tensors by key in a folder.

    One process keeps the folder within `limit` bytes; of n processes each may go over it by a part in `SHARE`.
    """

    def __init__(self, folder: Path, limit: int = DISK_BYTES) -> None:
        self.folder = folder
        self._limit = limit
        self._room = 0
        self._works = True

    def get(self, key: str) -> torch.Tensor | None:
        """The tensor under `key` as it was put [...], mapped into memory; None where there is none or it is damaged."""
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as opened:
                found: torch.Tensor = opened.get_tensor("values")
        except (OSError, SafetensorError):
            return None
        with contextlib.suppress(OSError):  # another process may have dropped it, or the folder may be read-only
            os.utime(path)
        return found

    def put(self, key: str, values: torch.Tensor) -> bool:
        """Keep `values` [...], of any shape, on the CPU, where there is room for them; whether it did.

        A disk that refuses is told once in the log, and nothing more is written: what is kept here can be made again.
        """
        size = values.nbytes + 512
        if not self._works or size > self._limit:
            return False
        try:
            if size > self._room:
                self._room = max(size, self._limit // SHARE)
                self._make_room(self._limit - self._room)
            self._write(self._path(key), values)
            self._room -= size
        except OSError as error:
            self._works = False
            log.warning("%s takes no more features (%s); training goes on without keeping them", self.folder, error)
        return self._works

    def _write(self, path: Path, values: torch.Tensor) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=path.parent)
        os.close(handle)
        try:
            save_file({"values": values}, name)
            os.replace(name, path)
        except SafetensorError as error:  # how safetensors tell of a full disk
            raise OSError(str(error)) from error
        finally:
            Path(name).unlink(missing_ok=True)

    def _make_room(self, goal: int) -> None:
        """Drop the least recently used files until the rest takes `goal` bytes at most."""
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= goal:
                break
            entry.path.unlink(missing_ok=True)
            total -= entry.size

    def _entries(self) -> list[_Entry]:
        found = []
        for path in self.folder.glob(f"*/*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                found.append(_Entry(about.st_mtime, about.st_size, path))
        for path in self.folder.glob(f"*/*{_UNFINISHED}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()
        return found

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{_SUFFIX}"
