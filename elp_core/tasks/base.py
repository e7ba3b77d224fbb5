"""What training, evaluation and bundles ask of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from elp_core.metrics.scores import Evaluation
from elp_core.metrics.verification import Match
from elp_core.types import Clip


class Task(Protocol):
    """One task. B clips, F frames, D dimensions. Tasks hold no tensors; these live in the head.

    Its class also has ``from_clips(clips, options)`` and ``from_json(values)``, which `elp_core.tasks` calls.
    """

    name: ClassVar[str]
    """Short name, as in a slot: ``asr``, ``asv``."""
    metric: ClassVar[str]
    """Name of the metric that decides; lower is better."""
    joins: ClassVar[bool]
    """Whether clips joined end to end, with their texts joined, are good training examples."""

    def build_head(self, dim: int) -> nn.Module:
        """The trainable end of the network, for frames of `dim` dimensions; initialised from torch's global seed."""

    def frames_needed(self, clip: Clip) -> int:
        """Fewest frames that the clip's target can be learned from (1 where any will do)."""

    def targets(self, clips: Sequence[Clip]) -> Any:
        """What the loss needs of B training clips: CPU tensors in tuples, moved to the device by the caller."""

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Scalar loss of frames [B, F, D] with `counts` [B] real frames."""

    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Any]:
        """One answer for each of B clips, of frames [B, F, D]: plain values or numpy arrays."""

    def evaluate(self, outputs: Mapping[str, Any], clips: Sequence[Clip], head: nn.Module | None = None) -> Evaluation:
        """Score the answers (by clip id) against what the clips say; `head` gave them, for scores that lean on it.

        Raises:
            CorpusError: where the clips cannot be scored, such as one speaker alone for verification.
        """

    def to_json(self) -> dict[str, Any]:
        """Everything needed to make the task again; has ``name``."""


@runtime_checkable
class Comparing(Protocol):
    """A task that compares recordings: its scores may lean on its head, and a threshold decides them."""

    @property
    def threshold(self) -> float | None:
        """Scores from here on are accepted; None until `decide_at` has chosen."""

    def compare(self, head: nn.Module, enrolment: Sequence[Any], test: Any) -> Match:
        """Whether the answer `test` is of whom the answers `enrolment` (one or more) are of."""

    def decide_at(self, evaluation: Evaluation) -> Task:
        """The same task with the threshold that its trials on the validation clips ask for."""


def compares(task: type[Any]) -> bool:
    """Whether tasks of this class are `Comparing`, for who has none of them yet."""
    return all(callable(getattr(task, name, None)) for name in ("compare", "decide_at"))
