"""Speech emotion recognition: the emotion that a clip's label names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from elp_core.tasks.classification import ClipClassification


@dataclass(frozen=True)
class EmotionRecognition(ClipClassification):
    """One emotion a clip. Emotions are rarely balanced: read the unweighted accuracy beside the error rate."""

    name: ClassVar[str] = "ser"
