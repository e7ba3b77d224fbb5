"""Which clips of a batch share a tensor: on a GPU all, padded; on a CPU those that need little padding.

A CPU gains nothing from one large call over several, so padding is only lost time there. But each length of a
convolution's input is a kernel that oneDNN compiles and keeps: lengths are rounded up to few.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from elp_core.types import Samples

T = TypeVar("T")
LEAST_SHARE = 0.9
"""On a CPU, clips that share a tensor are at least so long, of the longest among them."""
_STEPS = 8
"""Lengths in an octave; rounding up to them adds 6 % on average."""


def rounded_up(samples: Samples) -> Samples:
    """Return the next length of a few for each octave."""
    step = 1 << max(samples.bit_length() - _STEPS.bit_length(), 0)
    return -(-samples // step) * step


def padded_together(rows: Sequence[T], length: Callable[[T], int], device: torch.device) -> list[list[T]]:
    """Return the rows in groups that share a tensor, in ascending order of length on a CPU."""
    if device.type != "cpu":
        return [list(rows)] if rows else []
    groups: list[list[T]] = []
    # the longest first, so that a group is as long as its first row
    for row in sorted(rows, key=length, reverse=True):
        if groups and length(row) >= LEAST_SHARE * length(groups[-1][0]):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups[::-1]
