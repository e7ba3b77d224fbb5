"""What training, evaluation and bundles ask of a task, and what the tasks share."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import torch
from torch import nn

from elp_core.errors import CorpusError
from elp_core.metrics.scores import Evaluation
from elp_core.metrics.verification import Match
from elp_core.names import normal_name
from elp_core.task_specs import Column
from elp_core.types import Clip


class Task(Protocol):
    """One task. B clips, F frames, D dimensions. Tasks hold no tensors; these are in the head.

    Its class also has ``from_clips(clips, options)`` and ``from_json(values)``, which `elp_core.tasks` calls.
    """

    name: ClassVar[str]
    """Short name, as in a slot: ``asr``, ``asv``."""
    joins: ClassVar[bool]
    """Whether clips joined end to end, with their texts joined, are good training examples."""

    @property
    def metric(self) -> str:
        """Name of the metric that decides; lower is better."""

    def build_head(self, dim: int) -> nn.Module:
        """Return the trainable end of the network for frames of `dim` dimensions, initialised from torch's seed."""

    def frames_needed(self, clip: Clip) -> int:
        """Return the fewest frames that the clip's target can be learned from (1 if any number will do)."""

    def targets(self, clips: Sequence[Clip]) -> Any:
        """Return what the loss needs of B training clips: CPU tensors in tuples, moved to the device by the caller."""

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Return the scalar loss of frames [B, F, D] with `counts` [B] real frames."""

    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Any]:
        """Return one answer for each of B clips, of frames [B, F, D]: plain values or numpy arrays."""

    def evaluate(self, outputs: Mapping[str, Any], clips: Sequence[Clip], head: nn.Module | None = None) -> Evaluation:
        """Score the answers (by clip id) against the clips; `head`, which gave them, is for scores that depend on it.

        Raises:
            CorpusError: The clips cannot be scored, such as one speaker alone for verification.
        """

    def to_json(self) -> dict[str, Any]:
        """Return everything needed to make the task again; has ``name``."""


@runtime_checkable
class Comparing(Protocol):
    """A task that compares recordings: its scores may depend on its head, and a threshold decides."""

    @property
    def threshold(self) -> float | None:
        """Scores from here on are accepted; None until `decide_at` has chosen."""

    def compare(self, head: nn.Module, enrolment: Sequence[Any], test: Any) -> Match:
        """Return whether the answer `test` is of the same speaker as the answers `enrolment` (one or more)."""

    def decide_at(self, evaluation: Evaluation) -> Task:
        """Return the same task with the threshold that its trials on the validation clips ask for."""


@runtime_checkable
class LayerWeighing(Protocol):
    """A task with heads that weigh the layers themselves: they get the states of the network side by side."""

    @property
    def weighs_layers(self) -> bool:
        """Return whether the chosen head is one of these."""

    def build_layer_head(self, dim: int, layers: int) -> nn.Module:
        """Return the head for frames [B, F, dim], the states of `layers` layers side by side."""


def weighs_layers(task: object) -> TypeGuard[LayerWeighing]:
    """Return whether the head of a task gets the states of all layers side by side."""
    return isinstance(task, LayerWeighing) and task.weighs_layers


def compares(task: type[Any]) -> bool:
    """Return whether tasks of this class are `Comparing`; for callers that have the class only."""
    return all(callable(getattr(task, name, None)) for name in ("compare", "decide_at"))


def require_column(clips: Sequence[Clip], column: Column, noun: str, whose: str = "of the training clips") -> None:
    """Refuse clips that lack a value.

    Raises:
        CorpusError: A clip has an empty `column`; the message calls it `noun`.
    """
    empty = [clip.id for clip in clips if not getattr(clip, column)]
    if empty:
        raise CorpusError(f"{len(empty)} {whose} have no {noun}, the first is {empty[0]}")


def distinct(clips: Sequence[Clip], column: Column, noun: str, counted: str) -> tuple[str, ...]:
    """Return the different values of a column of training clips, sorted.

    Raises:
        CorpusError: A clip has none, or all have the same.
    """
    require_column(clips, column, noun)
    values = tuple(sorted({getattr(clip, column) for clip in clips}))
    if len(values) < 2:
        raise CorpusError(f"the number of {counted} in the training clips is {len(values)}, expected 2 or more")
    return values


def class_indices(values: Sequence[str], known: Sequence[str], counted: str) -> torch.Tensor:
    """Return the position of each value in `known`, int64 [B]; names are compared in their normal form.

    Raises:
        CorpusError: A value is not among them.
    """
    # bundles of older releases have names as they were delivered
    places = {normal_name(value): place for place, value in enumerate(known)}
    strange = sorted({value for value in values if normal_name(value) not in places})
    if strange:
        raise CorpusError(
            f"{counted} that are not among the {len(places)} of this task: {', '.join(map(repr, strange))}"
        )
    return torch.tensor([places[normal_name(value)] for value in values], dtype=torch.int64)
