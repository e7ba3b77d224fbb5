"""The values of a network's frozen prefix for a clip: computed once, then kept in memory or on disk."""

import hashlib
from collections.abc import Callable

import torch

from elp_core.data.store import TensorStore

MEMORY_BYTES = 2**31
RECORDING = ""
"""The variant of a clip that is the unchanged recording."""
_FORM = 2
"""Raised when the same clip, variant and backbone would give other values, so that older values are not read."""


class FeatureCache:
    """Values [..., frames, width] under (backbone fingerprint, prefix, clip id, variant of its augmentation).

    They are always rounded to float16, so that a run never depends on the content of the cache. Values that other runs
    and processes can use go to the store, if there is one; the rest stays in memory up to a limit, and what does not
    fit is computed again.
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

    def get(
        self, clip_id: str, variant: str, compute: Callable[[], torch.Tensor], *, shared: bool = True
    ) -> torch.Tensor:
        """Return the values of a clip, float16 on the CPU; call `compute` if they are not kept.

        With `shared`, the variant names all that they depend on, so that other runs can use them. A clip with values
        outside of float16's range keeps float32.
        """
        key = hashlib.sha256(f"{self._what}\n{clip_id}\n{variant}".encode()).hexdigest()
        if key in self._kept:
            return self._kept[key]
        store = self._store if shared else None
        found = store.get(key) if store else None
        if found is not None:  # a mapped file is in the page cache already
            return found
        values = _rounded(compute())
        stored = store is not None and store.put(key, values)
        if not stored and values.nbytes <= self._left:
            self._left -= values.nbytes
            self._kept[key] = values
        return values

    def __len__(self) -> int:
        """Return the number of clips in memory."""
        return len(self._kept)


def _rounded(values: torch.Tensor) -> torch.Tensor:
    exact = values.detach().to("cpu").contiguous()
    half = exact.half()
    return half if bool(half.isfinite().all()) else exact
