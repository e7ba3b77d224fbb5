"""What the frozen prefix of a network gives for a clip: worked out once, then kept in memory or on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch

from elp_core.data.store import TensorStore

MEMORY_BYTES = 2**31
RECORDING = ""
"""The variant of a clip that is the recording as it is."""
_FORM = 2
"""Raised whenever the same clip and backbone would give other values: what an older version kept is not read."""


class FeatureCache:
    """Values [..., frames, width] under (backbone fingerprint, prefix, clip id, variant of its augmentation).

    They are rounded to float16 whether they come from the cache or not, so that a run never depends on what was cached.
    Recordings as they are go to the store, where there is one, for other runs and processes too; the rest stays in
    memory, up to a limit and then no more: what does not fit is worked out again.
    """

    def __init__(
        self,
        fingerprint: str,
        memory_bytes: int = MEMORY_BYTES,
        store: TensorStore | None = None,
        prefix: str = "cnn",
        device: str = "cpu",
    ) -> None:
        self._what = f"{_FORM}\n{fingerprint}\n{prefix}\n{device}"
        self._left = memory_bytes
        self._store = store
        self._kept: dict[str, torch.Tensor] = {}

    def get(self, clip_id: str, variant: str, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Values of a clip, float16 on the CPU; `compute` is called where they are not kept.

        A clip with values beyond float16's range keeps float32.
        """
        key = hashlib.sha256(f"{self._what}\n{clip_id}\n{variant}".encode()).hexdigest()
        if key in self._kept:
            return self._kept[key]
        store = self._store if variant == RECORDING else None
        found = store.get(key) if store else None
        if found is not None:  # a mapped file is the page cache's business
            return found
        values = _rounded(compute())
        stored = store is not None and store.put(key, values)
        if not stored and values.nbytes <= self._left:
            self._left -= values.nbytes
            self._kept[key] = values
        return values

    def __len__(self) -> int:
        """Clips kept in memory."""
        return len(self._kept)


def _rounded(values: torch.Tensor) -> torch.Tensor:
    exact = values.detach().to("cpu").contiguous()
    half = exact.half()
    return half if bool(half.isfinite().all()) else exact
