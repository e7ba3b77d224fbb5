"""The result of an evaluation: enough to compute its metric again, whole or resampled. N items, C clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError
from elp_core.types import Clip

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

COUNTED = {"wer": "word", "cer": "character", "eer": "target trial", "error_rate": "clip"}
"""What a metric counts, by its name."""


@dataclass(frozen=True, eq=False)
class ClipScores:
    """Error counts by clip. The rate is errors.sum() / tokens.sum().

    Raises:
        CorpusError: The columns differ in length, or a count is negative.
    """

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    """Speaker of each clip; empty if unknown."""
    conditions: tuple[str, ...]
    errors: IntArray
    """int64 [N]: substitutions + deletions + insertions (WER, CER), or 1 for a wrong class."""
    tokens: IntArray
    """int64 [N], what could be wrong: words or characters of the reference (WER, CER), or the 1 class of a clip."""
    hypotheses: tuple[str, ...]
    references: tuple[str, ...]
    metric: str = "wer"
    """Name of the rate."""
    groups: tuple[str, ...] = ()
    """Groups of each clip, as `Clip.group`; without any, the column is empty."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "errors", np.asarray(self.errors, np.int64))
        object.__setattr__(self, "tokens", np.asarray(self.tokens, np.int64))
        columns = (self.speakers, self.conditions, self.errors, self.tokens, self.hypotheses, self.references)
        _same_length(len(self.ids), (*columns, *([self.groups] if self.groups else [])), "clip scores")
        if (self.errors < 0).any() or (self.tokens < 0).any():
            raise CorpusError("clip scores hold a negative count of errors or tokens; expected counts >= 0")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, keep: Sequence[int] | IntArray) -> ClipScores:
        """Return the clips at the positions `keep`, int64 [K]."""
        at = np.asarray(keep, np.int64)
        ids, speakers, conditions, hypotheses, references, groups = (
            tuple(column[i] for i in at) if column else ()
            for column in (self.ids, self.speakers, self.conditions, self.hypotheses, self.references, self.groups)
        )
        errors, tokens = self.errors[at], self.tokens[at]
        return ClipScores(ids, speakers, conditions, errors, tokens, hypotheses, references, self.metric, groups)

    @property
    def size(self) -> int:
        """Return the size of the set, in `unit`s."""
        return len(self)

    @property
    def counted(self) -> str:
        """Return the name of one token: ``word`` (WER), ``character`` (CER) or ``clip``."""
        return COUNTED.get(self.metric, "clip")

    unit: ClassVar[str] = "clips"


@dataclass(frozen=True, eq=False)
class TrialScores:
    """Verification trials over C clips. A trial compares clips `a` and `b`, both positions in `ids`.

    Raises:
        CorpusError: Columns differ in length, a trial names no clip, or a score is not finite.
    """

    ids: tuple[str, ...]
    """Of the clips, C of them, as `speakers` and `conditions`."""
    speakers: tuple[str, ...]
    conditions: tuple[str, ...]
    a: IntArray
    b: IntArray
    """int64 [N], as `a`."""
    scores: FloatArray
    """float64 [N], higher means more similar."""
    targets: BoolArray
    """bool [N], True if both clips are of one speaker."""
    groups: tuple[str, ...] = ()
    """Of the clips, as `ClipScores.groups`."""
    metric: ClassVar[str] = "eer"
    unit: ClassVar[str] = "target trials"
    counted: ClassVar[str] = "target trial"

    def __post_init__(self) -> None:
        for name, kind in (("a", np.int64), ("b", np.int64), ("scores", np.float64), ("targets", np.bool_)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        of_clips = (self.speakers, self.conditions, *([self.groups] if self.groups else []))
        _same_length(len(self.ids), of_clips, "clips of the trials")
        _same_length(len(self.a), (self.b, self.scores, self.targets), "trials")
        # minima and maxima make no copies of millions of trials
        if len(self.a) and not 0 <= min(self.a.min(), self.b.min()) <= max(self.a.max(), self.b.max()) < len(self.ids):
            raise CorpusError(f"a trial names a clip beyond the {len(self.ids)} clips given")
        if not np.isfinite(self.scores).all():
            raise CorpusError("trial scores are not all finite; look for NaN in the embeddings")

    def __len__(self) -> int:
        return len(self.a)

    @property
    def size(self) -> int:
        """Return the size of the set, in `unit`s: target trials are scarce, impostor trials are not."""
        return int(self.targets.sum())

    def select(self, keep: Sequence[int] | IntArray) -> TrialScores:
        """Return the trials at the positions `keep`, int64 [K], with the clips that they use."""
        at = np.asarray(keep, np.int64)
        used, places = np.unique(np.concatenate([self.a[at], self.b[at]]), return_inverse=True)
        ids, speakers, conditions, groups = (
            tuple(column[i] for i in used) if column else ()
            for column in (self.ids, self.speakers, self.conditions, self.groups)
        )
        a, b = np.split(places, 2)
        return TrialScores(ids, speakers, conditions, a, b, self.scores[at], self.targets[at], groups)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on one set of clips."""

    metric: str
    """``wer``, ``cer``, ``eer``, ``error_rate``: lower is better."""
    value: float
    scores: ClipScores | TrialScores
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further numbers: cer, min_dcf, threshold, accuracy, trials …"""


def clip_columns(clips: Sequence[Clip]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return ids, speakers and conditions, as the records of scores begin."""
    return tuple(c.id for c in clips), tuple(c.speaker for c in clips), tuple(c.condition for c in clips)


def clip_groups(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Return the groups of clips, as the records of scores end; empty if no clip has one."""
    return tuple(clip.group for clip in clips) if any(clip.group for clip in clips) else ()


def _same_length(
    expected: int, columns: Sequence[Sequence[object] | IntArray | FloatArray | BoolArray], what: str
) -> None:
    lengths = [len(column) for column in columns]
    if any(length != expected for length in lengths):
        raise CorpusError(f"{what}: columns of lengths {expected} and {lengths}; expected one length")
