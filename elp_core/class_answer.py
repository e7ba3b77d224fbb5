"""The class of a recording with its probability, or the answer that it is none of the known classes. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ClassCalibration:
    """How probabilities of classes were made honest, from the validation clips of the training."""

    temperature: float
    """The logits are divided by it before the softmax: above 1 for a network that is too sure."""
    floor: float | None
    """An answer with less is ``none of these``; None if there were too few clips to choose it."""
    clips: int
    """Validation clips that both were fitted on."""


@dataclass(frozen=True)
class ClassAnswer:
    """The answer to one recording."""

    label: str | None
    """The class; None if it is none of the known ones, by `floor`."""
    likeliest: str
    """The likeliest class, whether it is answered or not."""
    probability: float
    """Of `likeliest`."""
    probabilities: Mapping[str, float]
    """Of all classes, the likeliest first."""
    calibration: ClassCalibration | None
    """None: the probabilities are the softmax as trained, which is often too sure, and every recording gets a class."""

    @property
    def none_of_these(self) -> bool | None:
        """Whether the recording is of no known class; None if the bundle has no floor to decide that."""
        decides = self.calibration is not None and self.calibration.floor is not None
        return self.label is None if decides else None
