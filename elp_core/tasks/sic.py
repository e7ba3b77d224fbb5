"""Speech intent classification: what the speaker wants done, straight from the sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from elp_core.tasks.classification import ClipClassification


@dataclass(frozen=True)
class IntentClassification(ClipClassification):
    """One intent a clip, as one label (such as ``open valve``, or action, object and place in one)."""

    name: ClassVar[str] = "sic"
