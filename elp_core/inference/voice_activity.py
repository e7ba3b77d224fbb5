"""Find speech in a recording: the network of silero-vad (MIT), run over blocks, and the runs that it finds.

The package silero-vad is optional (the extra ``vad``). Only its weights are read: its own module sets the number of
threads of the whole process when it is imported, and its TorchScript model takes one chunk of 32 ms a call. Here the
convolutions of a block run together and the LSTM follows, which is ten times faster and gives the same probabilities
until the LSTM starts again (`_PIECE`).
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from elp_core._ranges import Checked, positive, within
from elp_core.audio import Waveform
from elp_core.errors import ConfigError
from elp_core.types import SAMPLE_RATE, Samples

CHUNK: Samples = 512
"""Samples that have one probability: 32 ms."""
_CONTEXT: Samples = 64
"""Samples of the chunk before that the network reads too."""
_PIECE = 250
"""Chunks after which the LSTM starts again, 8 s: in the long silences of one side of a call its state drifts, until it
takes speech for silence for minutes. …"""
_WARM_UP = 31
"""… It first processes these chunks before the piece, 1 s, so that no word has a beginning without its past."""
_WEIGHTS = "silero_vad.jit"
_NAMES = {
    "stft_conv.weight": "_model.stft.forward_basis_buffer",
    **{
        f"conv{place + 1}.{part}": f"_model.encoder.{place}.reparam_conv.{part}"
        for place in range(4)
        for part in ("weight", "bias")
    },
    **{f"lstm.{part}_l0": f"_model.decoder.rnn.{part}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    "final_conv.weight": "_model.decoder.decoder.2.weight",
    "final_conv.bias": "_model.decoder.decoder.2.bias",
}
"""Names of the tensors here, and in the TorchScript file."""
_PAUSE_CHUNKS = 5
"""Chunks of the pause at which a long run is cut: 0.16 s."""
_EXIT = 0.15
"""Speech ends when the probability falls this much below the threshold: silero-vad's own hysteresis, …"""
_LOWEST_EXIT = 0.01
"""… but not below this: with a low threshold, speech would never end."""


@dataclass(frozen=True)
class VoiceActivityConfig(Checked):
    """How probabilities become runs of speech; times are in seconds."""

    title: ClassVar[str] = "voice activity"
    threshold: float = within(0.5, 0.05, 0.95)
    """A chunk from this probability on is speech."""
    min_pause: float = positive(0.4)
    """Shorter pauses do not end a run of speech."""
    min_speech: float = within(0.1, 0)
    """Shorter runs of speech are noise."""
    pad: float = within(0.2, 0)
    """Added before and after a run."""
    max_seconds: float = within(120.0, 5)
    """A longer run is cut in its later half, in the pause with the lowest mean probability."""

    def other_faults(self) -> list[str]:
        """Return the fault of pads that would overlap."""
        return [] if 2 * self.pad <= self.min_pause else ["pad is more than half of min_pause, expected at most half"]


@dataclass(frozen=True, eq=False)
class SpeechRun:
    """Samples of a recording that are transcribed together."""

    start: Samples
    """Place of the first sample in the recording, at 16 kHz."""
    samples: Waveform
    """float32 [samples]."""


class SpeechDetector(nn.Module):
    """The network of silero-vad for 16 kHz. It keeps its state from call to call: make one for each recording.

    Raises:
        ConfigError: silero-vad is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)
        self.load_state_dict(_weights())
        self.requires_grad_(False)
        self._context = torch.zeros(_CONTEXT)
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None
        self._done = 0
        """Chunks since the LSTM started, without its warm-up."""
        self._recent = torch.zeros(0, 1, 128)
        """What the convolutions gave for the last chunks, float32 [up to _WARM_UP, 1, 128]."""

    @torch.inference_mode()
    def probabilities(self, samples: Waveform) -> npt.NDArray[np.float32]:
        """Return the probability of speech in each chunk, float32 [chunks], of float32 [chunks · 512] samples."""
        if not len(samples):
            return np.zeros(0, np.float32)
        whole = torch.cat([self._context, torch.from_numpy(np.ascontiguousarray(samples))])
        self._context = whole[-_CONTEXT:].clone()
        chunks = whole.unfold(0, CHUNK + _CONTEXT, CHUNK)
        hidden = self.stft_conv(F.pad(chunks, (0, 64), mode="reflect").unsqueeze(1))
        real, imaginary = hidden.split(129, dim=1)
        hidden = (real.square() + imaginary.square()).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            hidden = layer(hidden).relu()
        out = self._remember(hidden.squeeze(2).unsqueeze(1))
        found: npt.NDArray[np.float32] = torch.sigmoid(self.final_conv(out.squeeze(1).relu().unsqueeze(2))).numpy()
        return found.reshape(-1)

    def _remember(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return what the LSTM gives for float32 [chunks, 1, 128], in pieces that do not depend on the blocks."""
        parts = []
        while len(hidden):
            if self._done == _PIECE:
                self._done, self._state = 0, self.lstm(self._recent)[1]
            piece, hidden = hidden[: _PIECE - self._done], hidden[_PIECE - self._done :]
            out, self._state = self.lstm(piece, self._state)
            parts.append(out)
            self._done += len(piece)
            self._recent = torch.cat([self._recent, piece])[-_WARM_UP:]
        return torch.cat(parts)


def speech_runs(blocks: Iterable[Waveform], config: VoiceActivityConfig | None = None) -> Iterator[SpeechRun]:
    """Yield the runs of speech of a recording, given as blocks float32 [samples] at 16 kHz, in order.

    A run is in memory as a whole, and nothing else of the recording is.

    Raises:
        ConfigError: silero-vad is not installed.
    """
    live = LiveSpeech(config)
    for block in blocks:
        yield from live.add(block)
    yield from live.end()


class LiveSpeech:
    """The runs of speech of a recording that is still going on.

    Raises:
        ConfigError: silero-vad is not installed.
    """

    def __init__(self, config: VoiceActivityConfig | None = None) -> None:
        self._detector, self._cutter = SpeechDetector(), _Cutter(config or VoiceActivityConfig())
        self._rest = np.zeros(0, np.float32)

    def add(self, samples: Waveform) -> Iterator[SpeechRun]:
        """Yield the runs that end within the next float32 [samples] at 16 kHz."""
        rest = np.concatenate([self._rest, samples])
        whole = len(rest) // CHUNK * CHUNK
        self._rest = rest[whole:]
        yield from self._cutter.add(rest[:whole], self._detector.probabilities(rest[:whole]))

    def end(self) -> Iterator[SpeechRun]:
        """Yield the run that the end of the recording ends, if there is one."""
        last = np.pad(self._rest, (0, -len(self._rest) % CHUNK))
        yield from self._cutter.add(self._rest, self._detector.probabilities(last))
        yield from self._cutter.end()


class _Cutter:
    """Probabilities of chunks to runs; `_held` are the samples that a run may still need."""

    def __init__(self, config: VoiceActivityConfig) -> None:
        self._config = config
        self._pad = round(config.pad * SAMPLE_RATE)
        self._held = np.zeros(0, np.float32)
        self._held_from: Samples = 0
        self._now: Samples = 0
        """End of the samples whose probabilities are known."""
        self._begin: Samples | None = None
        """Start of the run of speech under way, without its pad."""
        self._quiet: Samples | None = None
        """Start of the pause under way inside a run."""
        self._levels: list[float] = []
        """Probabilities of the run's chunks, from `_begin` on."""
        self._cut = False
        """Whether the run under way began by a cut, without a pause before it."""

    def add(self, samples: Waveform, probabilities: npt.NDArray[np.float32]) -> Iterator[SpeechRun]:
        self._held = np.concatenate([self._held, samples])
        end = self._held_from + len(self._held)
        for probability in probabilities.tolist():
            chunk_end = min(self._now + CHUNK, end)
            yield from self._chunk(probability, self._now, chunk_end)
            self._now = chunk_end
        self._forget(self._now - self._pad if self._begin is None else self._begin - self._pad)

    def end(self) -> Iterator[SpeechRun]:
        if self._begin is not None:
            yield from self._finish(self._now if self._quiet is None else self._quiet)

    def _chunk(self, probability: float, start: Samples, end: Samples) -> Iterator[SpeechRun]:
        config = self._config
        exit_below = max(config.threshold - _EXIT, _LOWEST_EXIT)
        if probability >= config.threshold:
            if self._begin is None:
                self._begin, self._levels = start, []
            self._quiet = None
        elif self._begin is not None and probability < exit_below and self._quiet is None:
            self._quiet = start
        if self._begin is None:
            return
        self._levels.append(probability)
        if self._quiet is not None and end - self._quiet >= config.min_pause * SAMPLE_RATE:
            yield from self._finish(self._quiet)
        elif end - self._begin >= config.max_seconds * SAMPLE_RATE:
            yield from self._cut_long()

    def _cut_long(self) -> Iterator[SpeechRun]:
        assert self._begin is not None
        half = len(self._levels) // 2
        # the mean over some chunks finds a pause between words, a single chunk may be a stop inside of one
        means = np.convolve(self._levels[half:], np.full(_PAUSE_CHUNKS, 1 / _PAUSE_CHUNKS), "valid")
        place = half + int(np.argmin(means)) + _PAUSE_CHUNKS // 2
        cut = self._begin + place * CHUNK
        later = self._levels[place:]
        quiet = self._quiet
        yield self._run(self._begin if self._cut else self._begin - self._pad, cut)
        self._begin, self._levels, self._cut = cut, later, True
        self._quiet = None if quiet is None or quiet < cut else quiet

    def _finish(self, quiet: Samples) -> Iterator[SpeechRun]:
        assert self._begin is not None
        begin, cut = self._begin, self._cut
        self._begin, self._quiet, self._levels, self._cut = None, None, [], False
        if cut or quiet - begin >= self._config.min_speech * SAMPLE_RATE:
            yield self._run(begin if cut else begin - self._pad, quiet + self._pad)

    def _run(self, start: Samples, end: Samples) -> SpeechRun:
        start = max(start, self._held_from)
        return SpeechRun(start, self._held[start - self._held_from : max(end, start) - self._held_from].copy())

    def _forget(self, before: Samples) -> None:
        gone = min(max(0, before - self._held_from), len(self._held))
        self._held, self._held_from = self._held[gone:].copy(), self._held_from + gone


@functools.cache
def _weights() -> dict[str, torch.Tensor]:
    found = importlib.util.find_spec("silero_vad")
    path = Path((found.submodule_search_locations or [""])[0]) / "data" / _WEIGHTS if found else None
    if path is None or not path.is_file():
        raise ConfigError(
            "voice activity",
            ["it needs the package silero-vad 6.2 or later: pip install 'elp-foundry[vad]', or transcribe without it"],
        )
    with warnings.catch_warnings():
        # the package has its present weights in this form only; its safetensors file is of an older training
        warnings.simplefilter("ignore", DeprecationWarning)
        tensors = torch.jit.load(str(path), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    names = {name: tensors[theirs] for name, theirs in _NAMES.items() if theirs in tensors}
    if len(names) < len(_NAMES):
        raise ConfigError("voice activity", [f"{path} is not of silero-vad 6: it has other tensors; install 6.2.3"])
    return names
