"""Speaker verification: an embedding of the whole clip, trained to classify speakers with an angular margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.config import from_dict, to_dict
from elp_core.data.trials import TrialList, pair_positions
from elp_core.errors import CorpusError
from elp_core.metrics.eer import evaluate_trials
from elp_core.metrics.scores import Evaluation, FloatArray, IntArray
from elp_core.metrics.verification import Match, adaptive_snorm, cohort_statistics, cosines, enrol
from elp_core.task_specs import LAYER_HEADS, VerificationOptions
from elp_core.tasks.base import class_indices, distinct
from elp_core.tasks.speaker_heads import aam_softmax, make_head
from elp_core.types import Clip

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SpeakerVerification:
    """Embeddings with AAM-softmax in training, cosine scores in trials. EER decides; minDCF is reported too.

    Scores may be normalised by adaptive S-norm. The cohort is then the training speakers' directions, which the loss
    has learned: they are in the head anyway, so a bundle needs no recordings of a cohort.
    """

    name: ClassVar[str] = "asv"
    metric: ClassVar[str] = "eer"
    joins: ClassVar[bool] = False

    speakers: tuple[str, ...]
    """Training speakers in the order of the head's directions."""
    options: VerificationOptions = field(default_factory=VerificationOptions)
    threshold: float | None = None
    """Scores from here on are accepted; None until `decide_at` has chosen."""
    trials: TrialList | None = field(default=None, repr=False)
    """The trials of an evaluation; None judges all pairs of its clips. A bundle does not keep them."""

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: VerificationOptions) -> SpeakerVerification:
        """Return the task for the speakers of the training clips; raises CorpusError as `distinct`."""
        return cls(distinct(clips, "speaker", "speaker", "speakers"), options)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpeakerVerification:
        """Return the task that `to_json` described; options that an older bundle lacks have their defaults."""
        options = {key: value for key, value in values.items() if key not in ("name", "speakers", "threshold")}
        threshold = values.get("threshold")
        return cls(
            tuple(map(str, values["speakers"])),
            from_dict(VerificationOptions, options, "task"),
            None if threshold is None else float(threshold),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the speakers in the order of the head's directions, the options, and the threshold if there is one."""
        values = {"name": self.name, "speakers": list(self.speakers), **to_dict(self.options)}
        return values if self.threshold is None else {**values, "threshold": self.threshold}

    def build_head(self, dim: int) -> nn.Module:
        """Return the head that the options name, with one direction for each training speaker."""
        return make_head(self.options, dim, len(self.speakers))

    @property
    def weighs_layers(self) -> bool:
        """Return whether the head gets the states of all layers."""
        return self.options.head in LAYER_HEADS

    def build_layer_head(self, dim: int, layers: int) -> nn.Module:
        """Return the head for frames [B, F, dim] of `layers` layers side by side."""
        return make_head(self.options, dim, len(self.speakers), layers)

    def frames_needed(self, clip: Clip) -> int:
        """Return 1: any clip will do."""
        return 1

    def targets(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return the position of each clip's speaker, int64 [B]; raises CorpusError as `class_indices`."""
        return class_indices([clip.speaker for clip in clips], self.speakers, "speakers")

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Return the AAM-softmax over the training speakers."""
        cosines = F.linear(head(frames, counts).float(), F.normalize(head.get_parameter("speakers").float(), dim=1))
        return aam_softmax(cosines, targets, self.options.margin, self.options.scale)

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Embedding]:
        """Return unit embeddings, float32 [E] each."""
        return list(head(frames, counts).float().cpu().numpy())

    def evaluate(
        self, outputs: Mapping[str, Embedding], clips: Sequence[Clip], head: nn.Module | None = None
    ) -> Evaluation:
        """Return the EER over the task's trials, or over all pairs of the clips; normalised scores need the `head`.

        Raises:
            CorpusError: A clip has no speaker, a trial names none of the clips, or all trials are of one kind.
        """
        nameless = [clip.id for clip in clips if not clip.speaker]
        if nameless or not clips:
            raise CorpusError(f"{len(nameless)} of {len(clips)} clips have no speaker; trials need two or more that do")
        embeddings = np.stack([outputs[clip.id] for clip in clips]).astype(np.float64)
        if self.trials is None:
            a, b = pair_positions(len(clips))
            speakers = np.unique([clip.speaker for clip in clips], return_inverse=True)[1]
            targets = speakers[a] == speakers[b]
        else:
            a, b = self.trials.positions([clip.id for clip in clips])
            targets = np.array(self.trials.targets, np.bool_)
        return evaluate_trials(clips, a, b, self._score(embeddings, a, embeddings, b, head), targets)

    def compare(self, head: nn.Module, enrolment: Sequence[Embedding], test: Embedding) -> Match:
        """Compare the embedding `test` with the embeddings `enrolment` of a speaker's recordings.

        Raises:
            CorpusError: There is no recording to enrol from, or the vectors are no embeddings of one width.
        """
        speaker, tested = enrol(enrolment)[None], enrol([test])[None]
        if speaker.shape != tested.shape:
            raise CorpusError(
                f"the speaker's embedding has {speaker.size} dimensions and the other {tested.size}; "
                "expected both from one adapter"
            )
        only = np.zeros(1, np.int64)
        score = float(self._score(speaker, only, tested, only, head)[0])
        if self.options.score_norm == "none":
            # the product of two unit vectors may be more than 1 by rounding
            score = max(-1.0, min(score, 1.0))
        return Match(score, self.threshold)

    def decide_at(self, evaluation: Evaluation) -> SpeakerVerification:
        """Return the task with the threshold of its operating point on the trials of `evaluation`."""
        name = "threshold" if self.options.operating_point == "eer" else "min_dcf_threshold"
        return replace(self, threshold=evaluation.extra[name])

    def _score(
        self, first: FloatArray, a: IntArray, second: FloatArray, b: IntArray, head: nn.Module | None
    ) -> FloatArray:
        """Return the scores of trials between the embeddings `first[a]` and `second[b]`."""
        scores = cosines(first, a, second, b)
        if self.options.score_norm == "none":
            return scores
        if head is None:
            raise CorpusError("scores normalised by a cohort need the head that gave the embeddings; pass it on")
        directions = F.normalize(head.get_parameter("speakers").detach().float(), dim=1).cpu().numpy()
        enrolled = cohort_statistics(first, directions, self.options.cohort)
        # in an evaluation both sides are the same embeddings
        tested = enrolled if second is first else cohort_statistics(second, directions, self.options.cohort)
        return adaptive_snorm(scores, enrolled.at(a), tested.at(b))
