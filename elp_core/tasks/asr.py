"""Speech recognition: units of a language by connectionist temporal classification, decoded greedily or by a beam."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones.frames import blank, real_frames
from elp_core.config import from_dict, to_dict
from elp_core.decoding import DecodeConfig, beam_search
from elp_core.dropout import Dropout
from elp_core.errors import CorpusError
from elp_core.languages import BLANK, Language, LanguageConfig, Metric, NormaliserId, Units, build_units
from elp_core.metrics.scores import Evaluation
from elp_core.metrics.wer import evaluate_transcripts
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks.base import require_column
from elp_core.types import Clip

KERNEL = 5
"""Frames that one convolution of the head reads, spread by its dilation."""


class LetterHead(nn.Module):
    """A time-delay network (Waibel et al. 1989; dilated as in Peddinti et al. 2015) over narrowed frames.

    ``h ← h + gelu(conv_d(LN(h)))`` for each dilation d, then a linear layer. With dilations 1, 2, 4 a frame sees 29
    frames, 0.6 s: a word's length, so that letters follow each other as they do in words.
    """

    def __init__(self, dim: int, outputs: int, width: int, dilations: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.down = nn.Linear(dim, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in dilations])
        self.convs = nn.ModuleList([nn.Conv1d(width, width, KERNEL, padding="same", dilation=d) for d in dilations])
        self.letters = nn.Linear(width, outputs)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return logits [B, F, N] of frames [B, F, D] with `counts` [B] real frames; convolutions read only these."""
        real = real_frames(counts, frames.shape[1])
        hidden = self.down(self.dropout(frames))
        for norm, conv in zip(self.norms, self.convs, strict=True):
            near = conv(blank(norm(hidden), real).transpose(1, 2)).transpose(1, 2)
            hidden = hidden + self.dropout(F.gelu(near))
        logits: torch.Tensor = self.letters(hidden)
        return logits


@dataclass(frozen=True)
class SpeechRecognition:
    """CTC over units (Graves et al. 2006): letters, characters or subwords of a language, whose metric decides."""

    name: ClassVar[str] = "asr"
    joins: ClassVar[bool] = True

    units: Units = field(default_factory=Units)
    options: RecognitionOptions = field(default_factory=RecognitionOptions)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """How answers are found; not part of `to_json`, and so of no bundle."""
    normaliser: NormaliserId | None = None
    """The normaliser of the training transcripts as a bundle records it; None: the present one."""
    decides: Metric | None = None
    """The metric that decides; None: that of the language. Not part of `to_json`: it changes no answer."""

    @property
    def metric(self) -> Metric:
        """Name of the metric that decides: ``wer`` or ``cer``."""
        return self.decides or self.language.metric

    @functools.cached_property
    def language(self) -> Language:
        """The language of the options."""
        return self.options.language.resolve()

    @classmethod
    def from_clips(cls, clips: Sequence[Clip], options: RecognitionOptions) -> SpeechRecognition:
        """Return the task with the units of `options`, or with units that are built from the transcripts.

        Raises:
            CorpusError: A transcript is empty or has a character that the language or the units do not write.
            ConfigError: A package of the language is not installed.
        """
        require_column(clips, "text", "transcript")
        config, texts = options.language, [clip.text for clip in clips]
        units = options.units
        if units is None:
            spoken = config.resolve()
            strange = spoken.foreign("".join(texts), config.digits)
            units = Units() if strange else build_units(config, texts)
        else:
            strange = units.unknown(texts)
        if strange:
            allowed = repr("".join(units.symbols)) if config == LanguageConfig() else f"letters of {config.code}"
            raise CorpusError(
                f"transcripts have characters outside the alphabet: {' '.join(sorted(strange))}; "
                f"expected only {allowed}: spell them out"
            )
        return cls(units, dataclasses.replace(options, units=None))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpeechRecognition:
        """Return the task that `to_json` described; raises ConfigError if a value is out of its range."""
        known = {name: values[name] for name in ("dropout", "width", "dilations", "language") if name in values}
        missing = sorted({"dropout", "width", "dilations"} - values.keys())
        if missing:
            raise KeyError(*missing)
        units = Units.of_letters(str(values["alphabet"])) if "alphabet" in values else Units.from_json(values["units"])
        recorded = values.get("normaliser")
        normaliser = None if recorded is None else from_dict(NormaliserId, recorded, "normaliser")
        return cls(units, from_dict(RecognitionOptions, known, "task"), normaliser=normaliser)

    def to_json(self) -> dict[str, Any]:
        """Return the units in the order of the head's outputs, the head's sizes, and the language if it is not English.

        English with letters is written as in the first release: ``alphabet`` alone.

        Raises:
            ConfigError: A package of the language is not installed.
        """
        values = {"name": self.name, **to_dict(dataclasses.replace(self.options, units=None))}
        if self.options.language == LanguageConfig() and self.units.kind == "letters":
            return {**values, "alphabet": "".join(self.units.symbols)}
        named = self.normaliser or self.language.normaliser_id()
        language = to_dict(self.options.language)
        return {**values, "language": language, "normaliser": to_dict(named), "units": self.units.to_json()}

    def build_head(self, dim: int) -> nn.Module:
        """Return dilated convolutions and a linear layer."""
        options = self.options
        return LetterHead(dim, len(self.units), options.width, options.dilations, options.dropout)

    def frames_needed(self, clip: Clip) -> int:
        """Return the number of its units and of the blanks between equal neighbours."""
        return self.units.frames_needed(clip.text)

    def targets(self, clips: Sequence[Clip]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the classes of all units in one row, int64 [units], and the units of each clip, int64 [B]."""
        encoded = [self.units.encode(clip.text) for clip in clips]
        flat = torch.tensor([index for classes in encoded for index in classes], dtype=torch.int64)
        return flat, torch.tensor([len(classes) for classes in encoded], dtype=torch.int64)

    def loss(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor, targets: Any) -> torch.Tensor:
        """Return the mean over clips of the negative log-likelihood by unit; float32 in any precision around it."""
        letters, lengths = (target.cpu() for target in targets)
        # on the CPU wherever the network is: the gradient of CTC on CUDA is not the same from run to run
        log_probabilities = F.log_softmax(head(frames, counts).float().cpu(), dim=-1).transpose(0, 1)
        each = F.ctc_loss(log_probabilities, letters, counts.cpu(), lengths, BLANK, reduction="none")
        mean: torch.Tensor = (each / lengths.clamp(min=1)).mean()
        return mean

    @torch.no_grad()
    def predict(self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor) -> list[str]:
        """Return transcripts by `decode`; greedily: the best class of each frame, repeats merged, blanks dropped.

        Raises:
            ConfigError: Beam search is asked for, and its package is missing or the language model is unfit.
        """
        if self.decode.beam:
            search = beam_search(self.units, self.decode)
            return [search(rows) for rows in self.log_probabilities(head, frames, counts)]
        best = head(frames, counts).argmax(dim=-1).cpu()
        return [self.units.decode(row[:count].tolist()) for row, count in zip(best, counts.tolist(), strict=True)]

    @torch.no_grad()
    def log_probabilities(
        self, head: nn.Module, frames: torch.Tensor, counts: torch.Tensor
    ) -> list[npt.NDArray[np.float32]]:
        """Return the log-probabilities of the classes, float32 [frames of the clip, classes], for each of B clips.

        `frames` are [B, F, D] with `counts` [B] real frames.
        """
        rows = F.log_softmax(head(frames, counts).float(), dim=-1).cpu().numpy()
        return [row[:count] for row, count in zip(rows, counts.tolist(), strict=True)]

    def evaluate(self, outputs: Mapping[str, str], clips: Sequence[Clip], head: nn.Module | None = None) -> Evaluation:
        """Return the deciding metric over all words or characters, with edit counts by clip."""
        return evaluate_transcripts(clips, [outputs[clip.id] for clip in clips], self.language, self.metric)
