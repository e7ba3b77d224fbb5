"""One class for a whole clip: what emotion and intent share. The mean over time, a linear layer, cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.config import from_dict, to_dict
from elp_core.dropout import Dropout
from elp_core.errors import CorpusError
from elp_core.metrics.accuracy import evaluate_classes
from elp_core.metrics.scores import Evaluation
from elp_core.task_specs import ClassificationOptions
from elp_core.tasks.pooling import masked_mean
from elp_core.types import Clip


class ClassHead(nn.Module):
    """Frames [B, F, D] with `counts` [B] real ones to logits [B, N]."""

    def __init__(self, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.classes = nn.Linear(dim, classes)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Logits of the mean frame."""
        logits: torch.Tensor = self.classes(self.dropout(masked_mean(frames, counts)))
        return logits


@dataclass(frozen=True)
class ClipClassification:
    """Classes from the clips' labels. The error rate (1 - accuracy) decides; accuracies and F1 stand beside it."""

    name: ClassVar[str]
    metric: ClassVar[str] = "error_rate"
    joins: ClassVar[bool] = False

    classes: tuple[str, ...]
    """Labels in the order of the head's outputs."""
    options: ClassificationOptions = field(default_factory=ClassificationOptions)

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: ClassificationOptions) -> Self:
        """Takes the classes of the training clips.

        Raises:
            CorpusError: where a clip has no label, or all have the same.
        """
        nameless = [clip.id for clip in clips if not clip.label]
        if nameless:
            raise CorpusError(f"{len(nameless)} training clip(s) have no label, the first is {nameless[0]}")
        classes = tuple(sorted({clip.label for clip in clips}))
        if len(classes) < 2:
            raise CorpusError(f"the training clips have {len(classes)} class(es), expected 2 or more")
        return cls(classes, options)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        options = {key: value for key, value in values.items() if key not in ("name", "classes")}
        return cls(tuple(map(str, values["classes"])), from_dict(ClassificationOptions, options, "task"))

    def to_json(self) -> dict[str, Any]:
        """The classes in the order of the head's outputs, and the options."""
        return {"name": self.name, "classes": list(self.classes), **to_dict(self.options)}

    def build_head(self, dim: int) -> nn.Module:
        """The mean over time and a linear layer."""
        return ClassHead(dim, len(self.classes), self.options.dropout)

    def frames_needed(self, clip: Clip) -> int:
        """Any clip will do."""
        return 1

    def targets(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Position of each clip's class, int64 [B].

        Raises:
            CorpusError: for a class that the task was not made with.
        """
        places = {name: place for place, name in enumerate(self.classes)}
        strange = sorted({clip.label for clip in clips} - places.keys())
        if strange:
            raise CorpusError(f"class(es) {', '.join(map(repr, strange))} are not among the {len(places)} of this task")
        return torch.tensor([places[clip.label] for clip in clips], dtype=torch.int64)

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Mean cross-entropy of the clips, in float32."""
        return F.cross_entropy(head(frames, counts).float(), targets)

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[str]:
        """The likeliest class of each clip."""
        return [self.classes[place] for place in head(frames, counts).argmax(dim=1).tolist()]

    def evaluate(self, outputs: Mapping[str, str], clips: Sequence[Clip], head: nn.Module | None = None) -> Evaluation:
        """Error rate over all clips. A label that the task does not know counts as an error, as it will in use.

        Raises:
            CorpusError: where a clip has no label.
        """
        nameless = [clip.id for clip in clips if not clip.label]
        if nameless:
            raise CorpusError(f"{len(nameless)} of {len(clips)} clips have no label, the first is {nameless[0]}")
        return evaluate_classes(
            [clip.id for clip in clips],
            [clip.speaker for clip in clips],
            [clip.condition for clip in clips],
            [outputs[clip.id] for clip in clips],
            [clip.label for clip in clips],
        )
