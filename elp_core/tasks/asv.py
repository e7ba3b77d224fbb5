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
from elp_core.data.trials import pair_positions
from elp_core.errors import CorpusError
from elp_core.metrics.eer import evaluate_trials
from elp_core.metrics.scores import Evaluation, FloatArray, IntArray
from elp_core.metrics.verification import Match, adaptive_snorm, cohort_statistics, cosines, enrol
from elp_core.task_specs import VerificationOptions
from elp_core.tasks.speaker_heads import aam_softmax, make_head
from elp_core.types import Clip

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SpeakerVerification:
    """Embeddings with AAM-softmax in training, cosine scores in trials. EER decides; minDCF stands beside it.

    Scores may be normalised by adaptive S-norm. The cohort are then the directions that the loss has drawn the
    training speakers' embeddings to: they are in the head anyway, so a bundle needs no recordings of a cohort.
    """

    name: ClassVar[str] = "asv"
    metric: ClassVar[str] = "eer"
    joins: ClassVar[bool] = False

    speakers: tuple[str, ...]
    """Training speakers in the order of the head's directions."""
    options: VerificationOptions = field(default_factory=VerificationOptions)
    threshold: float | None = None
    """Scores from here on are accepted; None until `decide_at` has chosen."""

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: VerificationOptions) -> SpeakerVerification:
        """Takes the speakers of the training clips.

        Raises:
            CorpusError: where a clip has no speaker, or all have the same.
        """
        nameless = [clip.id for clip in clips if not clip.speaker]
        if nameless:
            raise CorpusError(f"{len(nameless)} training clip(s) have no speaker, the first is {nameless[0]}")
        speakers = tuple(sorted({clip.speaker for clip in clips}))
        if len(speakers) < 2:
            raise CorpusError(f"the training clips have {len(speakers)} speaker(s), expected 2 or more")
        return cls(speakers, options)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpeakerVerification:
        """The inverse of `to_json`; options that a bundle does not know yet have their defaults."""
        options = {key: value for key, value in values.items() if key not in ("name", "speakers", "threshold")}
        threshold = values.get("threshold")
        return cls(
            tuple(map(str, values["speakers"])),
            from_dict(VerificationOptions, options, "task"),
            None if threshold is None else float(threshold),
        )

    def to_json(self) -> dict[str, Any]:
        """The speakers in the order of the head's directions, the options, and the threshold where there is one."""
        values = {"name": self.name, "speakers": list(self.speakers), **to_dict(self.options)}
        return values if self.threshold is None else {**values, "threshold": self.threshold}

    def build_head(self, dim: int) -> nn.Module:
        """The head that the options name, with one direction for each training speaker."""
        return make_head(self.options, dim, len(self.speakers))

    def frames_needed(self, clip: Clip) -> int:
        """Any clip will do."""
        return 1

    def targets(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Position of each clip's speaker, int64 [B].

        Raises:
            CorpusError: for a speaker that the task was not made with.
        """
        places = {speaker: place for place, speaker in enumerate(self.speakers)}
        strange = sorted({clip.speaker for clip in clips} - places.keys())
        if strange:
            raise CorpusError(f"speaker(s) {', '.join(strange)} are not among the {len(places)} of this task")
        return torch.tensor([places[clip.speaker] for clip in clips], dtype=torch.int64)

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """AAM-softmax over the training speakers."""
        cosines = F.linear(head(frames, counts).float(), F.normalize(head.get_parameter("speakers").float(), dim=1))
        return aam_softmax(cosines, targets, self.options.margin, self.options.scale)

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[Embedding]:
        """Unit embeddings, float32 [E] each."""
        return list(head(frames, counts).float().cpu().numpy())

    def evaluate(
        self, outputs: Mapping[str, Embedding], clips: Sequence[Clip], head: nn.Module | None = None
    ) -> Evaluation:
        """EER over all pairs of the clips; `head` is needed where the scores are normalised.

        Raises:
            CorpusError: where a clip has no speaker, or the trials are of one kind alone.
        """
        nameless = [clip.id for clip in clips if not clip.speaker]
        if nameless or not clips:
            raise CorpusError(f"{len(nameless)} of {len(clips)} clips have no speaker; trials need two or more that do")
        embeddings = np.stack([outputs[clip.id] for clip in clips]).astype(np.float64)
        a, b = pair_positions(len(clips))
        speakers = np.unique([clip.speaker for clip in clips], return_inverse=True)[1]
        return evaluate_trials(
            [clip.id for clip in clips],
            [clip.speaker for clip in clips],
            [clip.condition for clip in clips],
            a,
            b,
            self._score(embeddings, a, embeddings, b, head),
            speakers[a] == speakers[b],
        )

    def compare(self, head: nn.Module, enrolment: Sequence[Embedding], test: Embedding) -> Match:
        """Whether the embedding `test` is of the speaker whose recordings' embeddings are `enrolment`.

        Raises:
            CorpusError: for no recording to enrol from, or vectors that are no embeddings of one width.
        """
        speaker, tested = enrol(enrolment)[None], enrol([test])[None]
        if speaker.shape != tested.shape:
            raise CorpusError(
                f"the speaker's embedding has {speaker.size} dimensions and the other {tested.size}; "
                "expected both from one adapter"
            )
        only = np.zeros(1, np.int64)
        score = self._score(speaker, only, tested, only, head)
        return Match(float(score[0]), self.threshold)

    def decide_at(self, evaluation: Evaluation) -> SpeakerVerification:
        """The threshold of the operating point that the options name, on the trials of `evaluation`."""
        name = "threshold" if self.options.operating_point == "eer" else "min_dcf_threshold"
        return replace(self, threshold=evaluation.extra[name])

    def _score(
        self, first: FloatArray, a: IntArray, second: FloatArray, b: IntArray, head: nn.Module | None
    ) -> FloatArray:
        """Scores of trials between the embeddings `first[a]` and `second[b]`."""
        scores = cosines(first, a, second, b)
        if self.options.score_norm == "none":
            return scores
        if head is None:
            raise CorpusError("scores normalised by a cohort need the head that gave the embeddings; pass it on")
        directions = F.normalize(head.get_parameter("speakers").detach().float(), dim=1).cpu().numpy()

        enrolled = cohort_statistics(first, directions, self.options.cohort)
        # an evaluation tries every clip against every other: both sides are the same embeddings
        tested = enrolled if second is first else cohort_statistics(second, directions, self.options.cohort)
        return adaptive_snorm(scores, enrolled.at(a), tested.at(b))
