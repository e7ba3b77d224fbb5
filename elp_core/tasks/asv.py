"""Speaker verification: an embedding of the whole clip, trained to classify speakers with an angular margin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.data.trials import pair_positions
from elp_core.errors import CorpusError
from elp_core.metrics.eer import evaluate_trials
from elp_core.metrics.scores import Evaluation
from elp_core.types import Clip


class AttentivePooling(nn.Module):
    """Attentive statistics pooling (Okabe et al. 2018, arXiv 1803.10963): weighted mean and deviation over time."""

    def __init__(self, dim: int, hidden: int = 128) -> None:
        super().__init__()
        # no bias at the end: the softmax over time would cancel it
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, dim, bias=False))

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """[B, F, D] with `counts` [B] real frames to [B, 2 D]; frames beyond the counts have no part in it."""
        real = torch.arange(frames.shape[1], device=frames.device) < counts.to(frames.device).unsqueeze(1)
        scores = self.score(frames).masked_fill(~real.unsqueeze(2), float("-inf"))
        weights = scores.softmax(dim=1)
        mean = (weights * frames).sum(1)
        variance = (weights * (frames - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], dim=1)


class SpeakerHead(nn.Module):
    """Pooling, an embedding, and one direction for each training speaker (used by the loss alone)."""

    def __init__(self, dim: int, embedding: int, speakers: int, dropout: float) -> None:
        super().__init__()
        self.pooling = AttentivePooling(dim)
        self.norm = nn.LayerNorm(2 * dim)
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(2 * dim, embedding)
        self.speakers = nn.Parameter(torch.empty(speakers, embedding))
        nn.init.xavier_normal_(self.speakers)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Unit embeddings [B, E] of frames [B, F, D]."""
        pooled = self.dropout(self.norm(self.pooling(frames.float(), counts)))
        return F.normalize(self.embedding(pooled), dim=1)


def aam_softmax(cosines: torch.Tensor, labels: torch.Tensor, margin: float = 0.2, scale: float = 30.0) -> torch.Tensor:
    """Additive angular margin loss (ArcFace, Deng et al. 2019, arXiv 1801.07698, eq. 3).

    ``-log softmax(s · cos(θ_y + m), s · cos(θ_other))``. Where θ_y + m passes π the cosine would rise again; there
    ``cos θ_y - m sin m`` takes its place, as in the authors' code, so that the loss stays monotonic.

    Args:
        cosines: [B, N] between embeddings and the speakers' directions.
        labels: int64 [B].
        margin: m, in radians.
        scale: s.

    Returns:
        Scalar.
    """
    target = cosines.gather(1, labels.unsqueeze(1)).clamp(-1 + 1e-7, 1 - 1e-7)
    shifted = target * math.cos(margin) - (1 - target.square()).sqrt() * math.sin(margin)
    shifted = torch.where(target > math.cos(math.pi - margin), shifted, target - margin * math.sin(margin))
    return F.cross_entropy(scale * cosines.scatter(1, labels.unsqueeze(1), shifted), labels)


@dataclass(frozen=True)
class SpeakerVerification:
    """Embeddings with AAM-softmax in training, cosine scores in trials. EER decides; minDCF stands beside it."""

    name: ClassVar[str] = "asv"
    metric: ClassVar[str] = "eer"
    joins: ClassVar[bool] = False

    speakers: tuple[str, ...]
    """Training speakers in the order of the head's directions."""
    embedding: int = 192
    margin: float = 0.2
    scale: float = 30.0
    dropout: float = 0.1

    @classmethod
    def from_clips(cls, clips: Sequence[Clip]) -> SpeakerVerification:
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
        return cls(speakers)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpeakerVerification:
        """The inverse of `to_json`."""
        numbers = {key: float(values[key]) for key in ("margin", "scale", "dropout")}
        return cls(tuple(map(str, values["speakers"])), int(values["embedding"]), **numbers)

    def to_json(self) -> dict[str, Any]:
        """The speakers in the order of the head's directions, and the numbers of the loss."""
        return {
            "name": self.name,
            "speakers": list(self.speakers),
            "embedding": self.embedding,
            "margin": self.margin,
            "scale": self.scale,
            "dropout": self.dropout,
        }

    def build_head(self, dim: int) -> nn.Module:
        """Attentive statistics pooling and a linear embedding."""
        return SpeakerHead(dim, self.embedding, len(self.speakers), self.dropout)

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
        return aam_softmax(cosines, targets, self.margin, self.scale)

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[npt.NDArray[np.float32]]:
        """Unit embeddings, float32 [E] each."""
        return list(head(frames, counts).float().cpu().numpy())

    def evaluate(self, outputs: Mapping[str, npt.NDArray[np.float32]], clips: Sequence[Clip]) -> Evaluation:
        """EER over all pairs of the clips, scored by the cosine of their embeddings.

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
            _cosines(embeddings, a, b),
            speakers[a] == speakers[b],
        )


def _cosines(
    embeddings: npt.NDArray[np.float64], a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], block: int = 100_000
) -> npt.NDArray[np.float64]:
    """Products of unit embeddings at positions `a` and `b`, a block at a time to bound the memory."""
    scores = np.empty(len(a))
    for start in range(0, len(a), block):
        part = slice(start, start + block)
        scores[part] = np.einsum("td,td->t", embeddings[a[part]], embeddings[b[part]])
    return scores
