"""One class for a whole clip: emotion and intent. A pooling over time, a linear layer, cross-entropy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.class_answer import ClassAnswer, ClassCalibration
from elp_core.config import from_dict, to_dict
from elp_core.dropout import Dropout
from elp_core.metrics.accuracy import evaluate_classes
from elp_core.metrics.scores import Evaluation, IntArray
from elp_core.names import normal_name
from elp_core.task_specs import LAYER_HEADS, ClassificationOptions
from elp_core.tasks.base import class_indices, distinct, require_column
from elp_core.tasks.calibration import fit_calibration, tempered
from elp_core.tasks.layer_heads import LayerPooling, layer_pooling
from elp_core.tasks.pooling import masked_mean
from elp_core.types import Clip


class ClassHead(nn.Module):
    """The mean over time and one linear layer."""

    def __init__(self, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.classes = nn.Linear(dim, classes)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return logits [B, N] of frames [B, F, D] with `counts` [B] real ones."""
        logits: torch.Tensor = self.classes(self.dropout(masked_mean(frames, counts)))
        return logits


class LayerClassHead(nn.Module):
    """A pooling that weighs the layers (`layer_heads`), a norm and one linear layer."""

    def __init__(self, pooling: LayerPooling, classes: int, dropout: float) -> None:
        super().__init__()
        self.pooling = pooling
        self.norm = nn.LayerNorm(pooling.outputs)
        self.dropout = Dropout(dropout)
        self.classes = nn.Linear(pooling.outputs, classes)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return logits [B, N] of frames [B, F, L * D] of L layers."""
        logits: torch.Tensor = self.classes(self.dropout(self.norm(self.pooling(frames, counts))))
        return logits


@dataclass(frozen=True)
class ClipClassification:
    """Classes from the clips' labels. The error rate (1 - accuracy) decides; accuracies and F1 are reported too."""

    name: ClassVar[str]
    metric: ClassVar[str] = "error_rate"
    joins: ClassVar[bool] = False

    classes: tuple[str, ...]
    """Labels in the order of the head's outputs."""
    options: ClassificationOptions = field(default_factory=ClassificationOptions)
    calibration: ClassCalibration | None = None
    """What makes its probabilities honest; None until `calibrated_on` has fitted it."""

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: ClassificationOptions) -> Self:
        """Return the task for the classes of the training clips; raises CorpusError as `distinct`."""
        return cls(distinct(clips, "label", "label", "classes"), options)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the task that `to_json` described."""
        options = {key: value for key, value in values.items() if key not in ("name", "classes", "calibration")}
        fitted = values.get("calibration")
        return cls(
            tuple(map(str, values["classes"])),
            from_dict(ClassificationOptions, options, "task"),
            None if fitted is None else from_dict(ClassCalibration, fitted, "calibration"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the classes in the order of the head's outputs, the options, and the calibration if there is one."""
        values = {"name": self.name, "classes": list(self.classes), **to_dict(self.options)}
        return values if self.calibration is None else {**values, "calibration": to_dict(self.calibration)}

    def build_head(self, dim: int) -> nn.Module:
        """Return the head that the options name."""
        if self.weighs_layers:
            return self.build_layer_head(dim, 1)
        return ClassHead(dim, len(self.classes), self.options.dropout)

    @property
    def weighs_layers(self) -> bool:
        """Return whether the head gets the states of all layers."""
        return self.options.head in LAYER_HEADS

    def build_layer_head(self, dim: int, layers: int) -> nn.Module:
        """Return the head for frames [B, F, dim] of `layers` layers side by side."""
        chosen = (self.options.attention_heads, self.options.pooled_width, self.options.dropout)
        pooling = layer_pooling(self.options.head, dim, layers, *chosen)
        return LayerClassHead(pooling, len(self.classes), self.options.dropout)

    def frames_needed(self, clip: Clip) -> int:
        """Return 1: any clip will do."""
        return 1

    def targets(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return the position of each clip's class, int64 [B]; raises CorpusError as `class_indices`."""
        return class_indices([clip.label for clip in clips], self.classes, "classes")

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Return the mean cross-entropy of the clips, in float32."""
        return F.cross_entropy(head(frames, counts).float(), targets)

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[str]:
        """Return the likeliest class of each clip."""
        return [self.classes[place] for place in head(frames, counts).argmax(dim=1).tolist()]

    @torch.no_grad()
    def probabilities(
        self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor
    ) -> list[npt.NDArray[np.float32]]:
        """Return the softmax over the classes, float32 [N], for each clip of frames [B, F, D] with `counts` [B]."""
        rows: npt.NDArray[np.float32] = F.softmax(head(frames, counts).float(), dim=1).cpu().numpy()
        return list(rows)

    def calibrated_on(self, probabilities: Sequence[npt.NDArray[np.float32]], clips: Sequence[Clip]) -> Self:
        """Return the task with the calibration that `probabilities`, float32 [N] for each validation clip, ask for.

        Clips of a class that the task does not know have no part in it; with too few others there is none.
        """
        return replace(
            self, calibration=fit_calibration(np.stack(probabilities).astype(np.float64), self.places(clips))
        )

    def places(self, clips: Sequence[Clip]) -> IntArray:
        """Return the position of each clip's class, int64 [B]; -1 for one that the task does not know."""
        known = {normal_name(name): place for place, name in enumerate(self.classes)}
        return np.array([known.get(normal_name(clip.label), -1) for clip in clips], np.int64)

    def decide(self, probabilities: npt.NDArray[np.float32]) -> ClassAnswer:
        """Return the answer for one recording from what `probabilities` gave for it, float32 [N]."""
        fitted, values = self.calibration, probabilities.astype(np.float64)
        if fitted is not None:
            values = tempered(values, fitted.temperature)
        ranked = sorted(zip(self.classes, values.tolist(), strict=True), key=lambda one: -one[1])
        likeliest, best = ranked[0]
        refused = fitted is not None and fitted.floor is not None and best < fitted.floor
        return ClassAnswer(None if refused else likeliest, likeliest, best, dict(ranked), fitted)

    def evaluate(self, outputs: Mapping[str, str], clips: Sequence[Clip], head: nn.Module | None = None) -> Evaluation:
        """Return the error rate over all clips. A label that the task does not know counts as an error, as in use.

        Raises:
            CorpusError: A clip has no label.
        """
        require_column(clips, "label", "label", f"of {len(clips)} clips")
        return evaluate_classes(clips, [outputs[clip.id] for clip in clips])


@dataclass(frozen=True)
class EmotionRecognition(ClipClassification):
    """One emotion a clip. Emotions are rarely balanced: read the unweighted accuracy next to the error rate."""

    name: ClassVar[str] = "ser"


@dataclass(frozen=True)
class IntentClassification(ClipClassification):
    """One intent a clip, as one label (such as ``open valve``, or action, object and place in one)."""

    name: ClassVar[str] = "sic"
