"""Speech recognition: letters by connectionist temporal classification, decoded greedily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.data.text import BLANK, Alphabet
from elp_core.errors import CorpusError
from elp_core.kinds import RecognitionOptions
from elp_core.metrics.scores import Evaluation
from elp_core.metrics.wer import evaluate_transcripts
from elp_core.types import Clip


class LetterHead(nn.Module):
    """A convolution over neighbouring frames, beside them, and a linear layer: frames [B, F, D] to logits [B, F, N].

    Frames beyond a clip's end must be zero, as the convolution's own padding is: a clip alone and in a batch agree.
    """

    def __init__(self, dim: int, outputs: int, context: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.context = nn.Conv1d(dim, dim, context, padding=context // 2) if context else None
        self.letters = nn.Linear(dim, outputs)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Logits of frames."""
        frames = self.dropout(frames)
        if self.context is not None:
            near = self.context(frames.transpose(1, 2)).transpose(1, 2)
            frames = frames + self.dropout(F.gelu(near))
        logits: torch.Tensor = self.letters(frames)
        return logits


@dataclass(frozen=True)
class SpeechRecognition:
    """CTC over letters (Graves et al. 2006). WER decides; CER stands beside it."""

    name: ClassVar[str] = "asr"
    metric: ClassVar[str] = "wer"
    joins: ClassVar[bool] = True

    alphabet: Alphabet = field(default_factory=Alphabet)
    dropout: float = 0.1
    context: int = 5
    """Frames that the head sees at once; an odd number, or 0 for each frame by itself."""

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: RecognitionOptions) -> SpeechRecognition:
        """The default alphabet, after a look at the transcripts.

        Raises:
            CorpusError: where a transcript is empty or leaves the alphabet.
        """
        task = cls(dropout=options.dropout, context=options.context)
        empty = [clip.id for clip in clips if not clip.text]
        if empty:
            raise CorpusError(f"{len(empty)} training clip(s) have no transcript, the first is {empty[0]}")
        unknown = task.alphabet.unknown(clip.text for clip in clips)
        if unknown:
            raise CorpusError(
                f"transcripts have characters outside the alphabet: {' '.join(sorted(unknown))}; "
                f"expected only {task.alphabet.letters!r}: spell them out"
            )
        return task

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpeechRecognition:
        """The inverse of `to_json`."""
        return cls(Alphabet(str(values["alphabet"])), float(values["dropout"]), int(values["context"]))

    def to_json(self) -> dict[str, Any]:
        """The alphabet in the order of the head's outputs."""
        return {
            "name": self.name,
            "alphabet": self.alphabet.letters,
            "dropout": self.dropout,
            "context": self.context,
        }

    def build_head(self, dim: int) -> nn.Module:
        """A convolution and a linear layer on each frame."""
        return LetterHead(dim, len(self.alphabet), self.context, self.dropout)

    def frames_needed(self, clip: Clip) -> int:
        """Its letters, and a blank between equal neighbours."""
        return self.alphabet.frames_needed(clip.text)

    def targets(self, clips: Sequence[Clip]) -> tuple[torch.Tensor, torch.Tensor]:
        """Classes of all letters in one row, int64 [letters], and letters of each clip, int64 [B]."""
        encoded = [self.alphabet.encode(clip.text) for clip in clips]
        flat = torch.tensor([index for classes in encoded for index in classes], dtype=torch.int64)
        return flat, torch.tensor([len(classes) for classes in encoded], dtype=torch.int64)

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Mean over clips of the negative log-likelihood by letter; float32 whatever the precision around it."""
        letters, lengths = (target.cpu() for target in targets)
        # on the CPU wherever the network is: the gradient of CTC on CUDA is not the same from run to run
        log_probabilities = F.log_softmax(head(frames).float().cpu(), dim=-1).transpose(0, 1)
        each = F.ctc_loss(log_probabilities, letters, counts.cpu(), lengths, BLANK, reduction="none")
        mean: torch.Tensor = (each / lengths.clamp(min=1)).mean()
        return mean

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[str]:
        """Greedy transcripts: the best class of each frame, repeats merged, blanks dropped."""
        best = head(frames).argmax(dim=-1).cpu()
        return [self.alphabet.decode(row[:count].tolist()) for row, count in zip(best, counts.tolist(), strict=True)]

    def evaluate(self, outputs: Mapping[str, str], clips: Sequence[Clip], head: nn.Module | None = None) -> Evaluation:
        """WER over all words, with edit counts by clip."""
        return evaluate_transcripts(
            [clip.id for clip in clips],
            [clip.speaker for clip in clips],
            [clip.condition for clip in clips],
            [outputs[clip.id] for clip in clips],
            [clip.text for clip in clips],
        )
