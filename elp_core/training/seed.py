"""Random numbers that depend only on the position in the training, so that a resumed run repeats them."""

import contextlib
import os
import warnings
from collections.abc import Iterator

import numpy as np
import torch


def seed_step(seed: int, epoch: int, batch: int, part: int = 0) -> None:
    """Seed torch (dropout) for one step; `part` is the number of this process in a training over several."""
    key = [seed, epoch, batch, part] if part else [seed, epoch, batch]
    # mixed, because neighbouring numbers as seeds can give related streams
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Use deterministic kernels inside the block, and restore the caller's random state after it.

    On a GPU an operation that has no deterministic kernel still runs.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cuda = device.type == "cuda"
    if cuda:
        # cuBLAS repeats its sums only with a workspace of a fixed size
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []), warnings.catch_warnings():
        if cuda:
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        torch.use_deterministic_algorithms(True, warn_only=cuda)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_only)


class Stream:
    """The random numbers of one job, from torch's present state on; other jobs may draw in between."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._keep()

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Let torch draw from this stream inside the block."""
        torch.set_rng_state(self._state)
        if self._on_gpu is not None:
            torch.cuda.set_rng_state(self._on_gpu, self._device)
        yield
        self._keep()

    def _keep(self) -> None:
        self._state = torch.get_rng_state()
        self._on_gpu = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
