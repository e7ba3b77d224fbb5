"""Heads of speaker verification: frames to unit embeddings, and one direction for each training speaker.

B clips, F frames, D dimensions, E dimensions of an embedding, S training speakers. The directions are the rows of the
loss's weight matrix; they are kept, as the cohort of the score normalisation.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones.frames import blank, real_frames
from elp_core.dropout import Dropout
from elp_core.task_specs import LAYER_HEADS, VerificationOptions
from elp_core.tasks.layer_heads import LayerPooling, layer_pooling
from elp_core.tasks.pooling import AttentivePooling, masked_mean, masked_statistics


class SpeakerHead(nn.Module):
    """Attentive pooling, an embedding, and the speakers' directions."""

    def __init__(self, dim: int, embedding: int, speakers: int, dropout: float) -> None:
        super().__init__()
        self.pooling = AttentivePooling(dim)
        self.norm = nn.LayerNorm(2 * dim)
        self.dropout = Dropout(dropout)
        self.embedding = nn.Linear(2 * dim, embedding)
        self.speakers = _directions(speakers, embedding)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return unit embeddings [B, E] of frames [B, F, D]."""
        pooled = self.dropout(self.norm(self.pooling(frames.float(), counts)))
        return F.normalize(self.embedding(pooled), dim=1)


class LinearSpeakerHead(nn.Module):
    """The mean over time and one linear layer: the lightest head, for a short training."""

    def __init__(self, dim: int, embedding: int, speakers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.embedding = nn.Linear(dim, embedding)
        self.speakers = _directions(speakers, embedding)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return unit embeddings [B, E] of frames [B, F, D]."""
        return F.normalize(self.embedding(self.dropout(masked_mean(frames, counts))), dim=1)


class Tdnn(nn.Module):
    """One time-delay layer: a dilated convolution over `context` frames, ReLU and a norm of each frame."""

    def __init__(self, dim: int, outputs: int, context: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, outputs, context, dilation=dilation, padding=dilation * (context // 2))
        self.norm = nn.LayerNorm(outputs)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return [B, F, outputs] of [B, F, D]."""
        result: torch.Tensor = self.norm(F.relu(self.conv(frames.transpose(1, 2)).transpose(1, 2)))
        return result


class XVectorHead(nn.Module):
    """The x-vector (Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", table 1).

    Five time-delay layers over 5, 3, 3, 1 and 1 frames with dilations 1, 2, 3, 1, 1, statistics pooling, and a linear
    layer (their segment6), whose output is the embedding. Ours differs in three things: the convolutions read zeros
    beyond a clip's ends, so that a clip of one frame has an embedding too; each frame is normalised alone, not over the
    batch, so that padding and other clips have no effect on it; and the last layer has three times the channels (the
    paper: 1,500 after 512).
    """

    def __init__(self, dim: int, embedding: int, speakers: int, dropout: float, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Tdnn(dim, channels, 5, 1),
                Tdnn(channels, channels, 3, 2),
                Tdnn(channels, channels, 3, 3),
                Tdnn(channels, channels, 1, 1),
                Tdnn(channels, 3 * channels, 1, 1),
            ]
        )
        self.dropout = Dropout(dropout)
        self.embedding = nn.Linear(6 * channels, embedding)
        self.speakers = _directions(speakers, embedding)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return unit embeddings [B, E] of frames [B, F, D]."""
        real = real_frames(counts, frames.shape[1])
        frames = frames.float()
        for layer in self.layers:
            frames = blank(layer(frames), real)
        return F.normalize(self.embedding(self.dropout(masked_statistics(frames, counts))), dim=1)


class LayerSpeakerHead(nn.Module):
    """A pooling that weighs the layers (`layer_heads`), a norm, an embedding, and the speakers' directions."""

    def __init__(self, pooling: LayerPooling, options: VerificationOptions, speakers: int):
        super().__init__()
        self.pooling = pooling
        self.norm = nn.LayerNorm(pooling.outputs)
        self.dropout = Dropout(options.dropout)
        self.embedding = nn.Linear(pooling.outputs, options.embedding)
        self.speakers = _directions(speakers, options.embedding)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return unit embeddings [B, E] of frames [B, F, L * D] of L layers."""
        return F.normalize(self.embedding(self.dropout(self.norm(self.pooling(frames, counts)))), dim=1)


def make_head(options: VerificationOptions, dim: int, speakers: int, layers: int = 1) -> nn.Module:
    """Return the head that the options name, for frames of `dim` dimensions, those of `layers` layers together."""
    sizes = (dim, options.embedding, speakers, options.dropout)
    if options.head in LAYER_HEADS:
        chosen = (options.attention_heads, options.pooled_width, options.dropout)
        return LayerSpeakerHead(layer_pooling(options.head, dim, layers, *chosen), options, speakers)
    if options.head == "xvector":
        return XVectorHead(*sizes, options.channels)
    return LinearSpeakerHead(*sizes) if options.head == "linear" else SpeakerHead(*sizes)


def aam_softmax(cosines: torch.Tensor, labels: torch.Tensor, margin: float = 0.2, scale: float = 30.0) -> torch.Tensor:
    """Additive angular margin loss (ArcFace, Deng et al. 2019, arXiv 1801.07698, eq. 3).

    ``-log softmax(s · cos(θ_y + m), s · cos(θ_other))``. If θ_y + m is over π, the cosine would rise again; then
    ``cos θ_y - m sin m`` replaces it, as in the authors' code, so that the loss stays monotonic.

    It takes cosines [B, S] of embeddings and directions, labels int64 [B], m in radians and s, and returns a scalar.
    """
    # clamped, because the gradient of the square root is infinite at 0
    target = cosines.gather(1, labels.unsqueeze(1)).clamp(-1 + 1e-7, 1 - 1e-7)
    shifted = target * math.cos(margin) - (1 - target.square()).sqrt() * math.sin(margin)
    shifted = torch.where(target > math.cos(math.pi - margin), shifted, target - margin * math.sin(margin))
    return F.cross_entropy(scale * cosines.scatter(1, labels.unsqueeze(1), shifted), labels)


def _directions(speakers: int, embedding: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(speakers, embedding)))
