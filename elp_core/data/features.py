"""Frozen CNN features by clip: worked out once, then kept in memory and, where a folder is given, on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

MEMORY_BYTES = 2**31


class FeatureCache:
    """Features [frames, channels] under (backbone fingerprint, clip id, variant of its augmentation).

    They are rounded to float16 whether they come from the cache or not, so that a run never depends on what was cached.
    In memory it holds up to a limit and then no more: what does not fit is worked out again.
    """

    def __init__(self, fingerprint: str, memory_bytes: int = MEMORY_BYTES, folder: Path | None = None) -> None:
        self._fingerprint = fingerprint
        self._left = memory_bytes
        self._folder = folder
        self._kept: dict[str, torch.Tensor] = {}

    def get(self, clip_id: str, variant: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Features of a clip, float16 [frames, channels] on the CPU; `compute` is called where they are not kept."""
        key = hashlib.sha256(f"{self._fingerprint}\n{clip_id}\n{variant}".encode()).hexdigest()
        if key in self._kept:
            return self._kept[key]
        features = self._read(key)
        if features is None:
            features = compute().to("cpu", torch.float16).contiguous()
            self._write(key, features)
        if features.nbytes <= self._left:
            self._left -= features.nbytes
            self._kept[key] = features
        return features

    def __len__(self) -> int:
        """Clips kept in memory."""
        return len(self._kept)

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> torch.Tensor | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            return load_file(path)["features"]
        except (SafetensorError, KeyError):
            return None  # a damaged entry is worked out anew and written over

    def _write(self, key: str, features: torch.Tensor) -> None:
        path = self._path(key)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        os.close(handle)
        save_file({"features": features}, name)
        os.replace(name, path)
