"""What a host is asked for, and what it computes for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Request:
    """A waveform, and the name of the adapter that answers it."""

    adapter: str
    waveform: npt.NDArray[np.float32]
    """float32 mono 16 kHz, [samples]."""


@dataclass(frozen=True, eq=False)
class PooledOutput:
    """An output, and the backbone's features of its waveform."""

    value: Any
    """As `AdapterHost.outputs` returns it."""
    features: npt.NDArray[np.float32]
    """Mean over time of the backbone's CNN features, [C]; no adapter changes them."""
