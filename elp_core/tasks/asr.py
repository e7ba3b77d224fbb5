"""Speech recognition: letters by connectionist temporal classification, decoded greedily or by beam search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.config import from_dict
from elp_core.data.text import BLANK, Alphabet
from elp_core.decoding import DecodeConfig, beam_search
from elp_core.errors import CorpusError
from elp_core.metrics.scores import Evaluation
from elp_core.metrics.wer import evaluate_transcripts
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks.letters import LetterHead
from elp_core.types import Clip


@dataclass(frozen=True)
class SpeechRecognition:
    """CTC over letters (Graves et al. 2006). WER decides; CER stands beside it."""

    name: ClassVar[str] = "asr"
    metric: ClassVar[str] = "wer"
    joins: ClassVar[bool] = True

    alphabet: Alphabet = field(default_factory=Alphabet)
    dropout: float = 0.1
    width: int = 256
    """Dimensions inside the head."""
    dilations: tuple[int, ...] = (1, 2, 4)
    """One convolution each; none judges each frame by itself."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """How answers are found; not part of `to_json`, and so of no bundle."""

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: RecognitionOptions) -> SpeechRecognition:
        """The default alphabet, after a look at the transcripts.

        Raises:
            CorpusError: where a transcript is empty or leaves the alphabet.
        """
        task = cls(dropout=options.dropout, width=options.width, dilations=options.dilations)
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
        """The inverse of `to_json`.

        Raises:
            ConfigError: where a value is out of its range.
        """
        told = {name: values[name] for name in ("dropout", "width", "dilations")}
        options = from_dict(RecognitionOptions, told, "task")
        return cls(Alphabet(str(values["alphabet"])), options.dropout, options.width, options.dilations)

    def to_json(self) -> dict[str, Any]:
        """The alphabet in the order of the head's outputs."""
        return {
            "name": self.name,
            "alphabet": self.alphabet.letters,
            "dropout": self.dropout,
            "width": self.width,
            "dilations": list(self.dilations),
        }

    def build_head(self, dim: int) -> nn.Module:
        """Dilated convolutions and a linear layer."""
        return LetterHead(dim, len(self.alphabet), self.width, self.dilations, self.dropout)

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
        log_probabilities = F.log_softmax(head(frames, counts).float().cpu(), dim=-1).transpose(0, 1)
        each = F.ctc_loss(log_probabilities, letters, counts.cpu(), lengths, BLANK, reduction="none")
        mean: torch.Tensor = (each / lengths.clamp(min=1)).mean()
        return mean

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[str]:
        """Transcripts by `decode`; greedily: the best class of each frame, repeats merged, blanks dropped.

        Raises:
            ConfigError: where beam search is asked for and its package is missing or the language model is unfit.
        """
        logits = head(frames, counts)
        if self.decode.beam:
            search = beam_search(self.alphabet, self.decode)
            rows = F.log_softmax(logits.float(), dim=-1).cpu().numpy()
            return [search(row[:count]) for row, count in zip(rows, counts.tolist(), strict=True)]
        best = logits.argmax(dim=-1).cpu()
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
