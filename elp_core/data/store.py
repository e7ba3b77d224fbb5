"""Tensors on disk that can be computed again: content-addressed, bounded, safe with concurrent processes.

Each tensor is one safetensors file, written whole. Reading maps the file, so that a batch costs page cache and no copy.
The least recently used files are deleted when the bound is reached; a process that has mapped such a file can still
read it.
"""

import contextlib
import logging
import os
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from elp_core.files import replacing
from elp_core.types import Seconds

log = logging.getLogger(__name__)

DISK_BYTES = 16 * 2**30
SHARE = 32
"""The folder is measured again after 1 / SHARE of the bound was written."""
ABANDONED: Seconds = 3600.0
"""An unfinished file of this age belongs to a process that was killed."""
_SUFFIX, _UNFINISHED = ".safetensors", ".tmp"


class TensorStore:
    """Tensors by key in a folder.

    One process keeps the folder within `limit` bytes; each of several processes may exceed it by one part in `SHARE`.
    """

    def __init__(self, folder: Path, limit: int = DISK_BYTES) -> None:
        self.folder = folder
        self.limit = limit
        self._room = 0
        self._works = True

    def get(self, key: str) -> torch.Tensor | None:
        """Return the tensor [...] under `key`, mapped into memory; None if there is none or it is damaged."""
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as opened:
                found: torch.Tensor = opened.get_tensor("values")
        # a file that vanishes while it is mapped is a RuntimeError of torch
        except (OSError, SafetensorError, RuntimeError):
            return None
        with contextlib.suppress(OSError):  # another process may have deleted it, or the folder may be read-only
            # the time of change stands for the last use, because many file systems record no access times
            os.utime(path)
        return found

    def put(self, key: str, values: torch.Tensor) -> bool:
        """Keep `values` [...] on the CPU if there is room for them; return whether it did.

        If the disk refuses, that is logged once and nothing more is written: the values can be computed again.
        """
        size = values.nbytes + 512  # room for the file's header
        if not self._works or size > self.limit:
            return False
        try:
            if size > self._room:
                self._room = max(size, self.limit // SHARE)
                self._make_room(self.limit - self._room)
            with replacing(self._path(key)) as temporary:
                save_file({"values": values}, temporary)
            self._room -= size
        except (OSError, SafetensorError) as error:  # safetensors raises its own error for a full disk
            self._works = False
            log.warning("no more features are kept in %s (%s); training continues without them", self.folder, error)
        return self._works

    def _make_room(self, goal: int) -> None:
        """Delete abandoned files, and the least recently used ones until the rest has at most `goal` bytes."""
        kept: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process may be making room too
                about = path.stat()
                if path.suffix == _SUFFIX:
                    kept.append((about.st_mtime, about.st_size, path))
                elif path.suffix == _UNFINISHED and time.time() - about.st_mtime > ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= goal:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{_SUFFIX}"
