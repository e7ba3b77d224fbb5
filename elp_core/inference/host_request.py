"""What a host is asked for, and what it computes for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from elp_core.tasks import SpeechRecognition, Task
from elp_core.tasks.classification import ClipClassification


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


def task_outputs(task: Task, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Any]:
    """Return what the answers are made of, of frames [B, F, D] and counts [B], as `AdapterHost.outputs` names it."""
    if isinstance(task, SpeechRecognition):
        return task.log_probabilities(head, frames, counts)
    if isinstance(task, ClipClassification):
        return task.probabilities(head, frames, counts)
    return task.predict(head, frames, counts)
