"""What an evaluation leaves behind: enough to compute its metric again, whole or resampled. N items, C clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClipScores:
    """Error counts by clip. The rate is errors.sum() / tokens.sum().

    Raises:
        CorpusError: where the columns differ in length or a count is negative.
    """

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    """Speaker of each clip; empty where unknown."""
    conditions: tuple[str, ...]
    errors: IntArray
    """int64 [N]: substitutions + deletions + insertions (WER), or 1 for a wrong class."""
    tokens: IntArray
    """int64 [N], what could be wrong: words of the reference (WER), or the 1 class of a clip."""
    hypotheses: tuple[str, ...]
    references: tuple[str, ...]
    metric: str = "wer"
    """What the rate is called."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "errors", np.asarray(self.errors, np.int64))
        object.__setattr__(self, "tokens", np.asarray(self.tokens, np.int64))
        columns = (self.speakers, self.conditions, self.errors, self.tokens, self.hypotheses, self.references)
        _same_length(len(self.ids), columns, "clip scores")
        if (self.errors < 0).any() or (self.tokens < 0).any():
            raise CorpusError("clip scores hold a negative count of errors or tokens; expected counts >= 0")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, keep: Sequence[int] | IntArray) -> ClipScores:
        """The clips at the positions `keep`, int64 [K]."""
        at = np.asarray(keep, np.int64)

        def take(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in at)

        return ClipScores(
            take(self.ids),
            take(self.speakers),
            take(self.conditions),
            self.errors[at],
            self.tokens[at],
            take(self.hypotheses),
            take(self.references),
            self.metric,
        )

    @property
    def size(self) -> int:
        """How large a set this is, in `unit`s."""
        return len(self)

    @property
    def unit(self) -> str:
        """What `size` counts."""
        return "clips"


@dataclass(frozen=True, eq=False)
class TrialScores:
    """Verification trials over C clips. A trial compares clips `a` and `b`, both positions in `ids`.

    Raises:
        CorpusError: where columns differ in length, a trial names no clip, or a score is not finite.
    """

    ids: tuple[str, ...]
    """Clip ids, C of them."""
    speakers: tuple[str, ...]
    """Speaker of each clip, C."""
    conditions: tuple[str, ...]
    """Condition of each clip, C."""
    a: IntArray
    """int64 [N]."""
    b: IntArray
    """int64 [N]."""
    scores: FloatArray
    """float64 [N], higher means more alike."""
    targets: BoolArray
    """bool [N], True where both clips are of one speaker."""
    metric: ClassVar[str] = "eer"

    def __post_init__(self) -> None:
        for name, kind in (("a", np.int64), ("b", np.int64), ("scores", np.float64), ("targets", np.bool_)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        _same_length(len(self.ids), (self.speakers, self.conditions), "clips of the trials")
        _same_length(len(self.a), (self.b, self.scores, self.targets), "trials")
        if len(self.a) and not (
            min(self.a.min(), self.b.min()) >= 0 and max(self.a.max(), self.b.max()) < len(self.ids)
        ):
            raise CorpusError(f"a trial names a clip beyond the {len(self.ids)} clips given")
        if not np.isfinite(self.scores).all():
            raise CorpusError("trial scores are not all finite; look for NaN in the embeddings")

    def __len__(self) -> int:
        return len(self.a)

    @property
    def size(self) -> int:
        """How large a set this is, in `unit`s: impostor trials are plenty, target trials are what is scarce."""
        return int(self.targets.sum())

    @property
    def unit(self) -> str:
        """What `size` counts."""
        return "target trials"

    def select(self, keep: Sequence[int] | IntArray) -> TrialScores:
        """The trials at the positions `keep`, int64 [K], with the clips that they use."""
        at = np.asarray(keep, np.int64)
        used, places = np.unique(np.concatenate([self.a[at], self.b[at]]), return_inverse=True)
        return TrialScores(
            tuple(self.ids[i] for i in used),
            tuple(self.speakers[i] for i in used),
            tuple(self.conditions[i] for i in used),
            places[: len(at)],
            places[len(at) :],
            self.scores[at],
            self.targets[at],
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on one set of clips."""

    metric: str
    """``wer``, ``eer``, ``error_rate``: lower is better."""
    value: float
    scores: ClipScores | TrialScores
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further numbers: cer, min_dcf, threshold, accuracy, trials …"""


def _same_length(
    expected: int, columns: Sequence[Sequence[object] | IntArray | FloatArray | BoolArray], what: str
) -> None:
    lengths = [len(column) for column in columns]
    if any(length != expected for length in lengths):
        raise CorpusError(f"{what}: columns of lengths {expected} and {lengths}; expected one length")
