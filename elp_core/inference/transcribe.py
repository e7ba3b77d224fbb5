"""Transcribe a recording of any length: runs of speech, windows over them, and words with their times.

The recording is read in blocks. Memory depends on the longest run of speech (bounded) and on the number of words, not
on the length of the recording.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform
from elp_core.channels import Channel
from elp_core.decoding import DecodeConfig, beam_search
from elp_core.errors import AudioError
from elp_core.inference.audio_blocks import audio_blocks, fixed_blocks
from elp_core.inference.recogniser import Recogniser
from elp_core.inference.speech_presence import holds_speech
from elp_core.inference.voice_activity import VoiceActivityConfig, speech_runs
from elp_core.inference.windows import Window, WindowConfig, cut_windows
from elp_core.inference.word_times import LogProbabilities, align, best_path, words_of
from elp_core.languages import BLANK
from elp_core.transcript import Segment as Segment
from elp_core.transcript import Transcript as Transcript
from elp_core.transcript import Word
from elp_core.types import SAMPLE_RATE, Samples, Seconds

SPAN_SECONDS: Seconds = 60.0
"""A run of speech that lasts longer is decoded in spans of half of this length or more, cut between two words."""

Run = tuple[Samples, Iterable[Waveform]]
"""Place of its first sample in the recording, and its samples float32 [samples] in blocks, at 16 kHz."""


def transcribe(
    source: Path | str | bytes | Waveform,
    recogniser: Recogniser,
    *,
    windows: WindowConfig | None = None,
    voice_activity: VoiceActivityConfig | None = None,
    decode: DecodeConfig | None = None,
    channel: Channel = "mix",
    batch_seconds: Seconds = 0.0,
    progress: Callable[[Seconds], None] | None = None,
) -> Transcript:
    """Return what a recording says, with the times and the confidence of its words.

    A recording that is no longer than a window is decoded as a whole: its text is that of `predict`. If it holds no
    speech (`speech_presence`), it has no words.

    Args:
        source: A file, its bytes, or float32 [samples] at 16 kHz.
        recogniser: ``Recogniser.of(model)`` or ``Recogniser.hosted(host, name)``.
        windows: Length and overlap of windows.
        voice_activity: How runs of speech are found in a recording that is longer than a window; the rest of it is
            skipped. None transcribes everything but digital silence.
        decode: How letters become words; None keeps the task's own way (greedy by default).
        channel: What is taken of a file with several channels, as in `elp_core.audio.load`.
        batch_seconds: Audio in a batch of windows after padding; with 0, each is computed alone. It changes no answer.
            On a GPU 32 s or more are quicker; on a CPU they are not, and take more memory.
        progress: Called with the seconds of the recording that are done.

    Raises:
        AudioError: The recording cannot be read, or is too short for a frame.
        ConfigError: The package of the voice activity or of the beam search is missing, or the beam search cannot be
            made.
    """
    windows = windows or WindowConfig()
    length = _Length(fixed_blocks(source) if isinstance(source, np.ndarray) else audio_blocks(source, channel))
    runs = _runs(length, windows, voice_activity)
    cut = ((start, window) for start, blocks in runs for window in cut_windows(blocks, recogniser.times, windows))
    spans = _Spans(recogniser, decode or recogniser.task.decode)
    segments: list[Segment] = []
    for batch in _batches(cut, batch_seconds):
        emitted = recogniser.emit([window.samples for _, window in batch])
        for (start, window), rows in zip(batch, emitted, strict=True):
            segments += spans.add(start, window, rows[window.keep])
        if progress:
            start, window = batch[-1]
            kept = window.first + len(emitted[-1][window.keep])
            progress((start + recogniser.times.samples(kept)) / SAMPLE_RATE)
    if length.samples < recogniser.times.receptive:
        raise AudioError(
            "too_short",
            f"the recording has {length.samples} samples at 16 kHz; this backbone needs {recogniser.times.receptive}",
        )
    separator = " " if spans.spaced else ""
    return Transcript(
        separator.join(s.text for s in segments), length.samples / SAMPLE_RATE, tuple(segments), spans.spaced
    )


class _Length:
    """Blocks passed on, and counted."""

    def __init__(self, blocks: Iterable[Waveform]) -> None:
        self.samples: Samples = 0
        self._blocks = iter(blocks)

    def __iter__(self) -> Iterator[Waveform]:
        return self

    def __next__(self) -> Waveform:
        block = next(self._blocks)
        self.samples += len(block)
        return block


def _runs(blocks: _Length, windows: WindowConfig, activity: VoiceActivityConfig | None) -> Iterator[Run]:
    first: list[Waveform] = []
    for block in blocks:
        first.append(block)
        if blocks.samples > windows.seconds * SAMPLE_RATE:
            break
    every = itertools.chain(first, blocks)
    if blocks.samples <= windows.seconds * SAMPLE_RATE:
        if first and holds_speech(np.concatenate(first), activity is not None):
            yield 0, first
        return
    if activity is None:
        yield 0, every
        return
    del first
    for run in speech_runs(every, activity):
        yield run.start, [run.samples]


def _batches(cut: Iterable[tuple[Samples, Window]], batch_seconds: Seconds) -> Iterator[list[tuple[Samples, Window]]]:
    """Yield windows that follow each other, together as long as a batch may be after padding."""
    batch: list[tuple[Samples, Window]] = []
    for one in cut:
        longest = max(len(window.samples) for _, window in [*batch, one])
        if batch and longest * (len(batch) + 1) > batch_seconds * SAMPLE_RATE:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


class _Spans:
    """Frames of one run of speech after the other, decoded when the run ends or a span is long enough."""

    def __init__(self, recogniser: Recogniser, decode: DecodeConfig) -> None:
        self._times = recogniser.times
        self._units = recogniser.task.units
        self._symbols = self._units.symbols
        self._search = beam_search(self._units, decode) if decode.beam else None
        # units of a script without spaces may have a blank too, between Latin words
        self.spaced = recogniser.task.language.spaced and self._units.spaced
        self._space = self._symbols.index(" ") + 1 if self.spaced and " " in self._symbols else BLANK
        self._limit = max(2, round(SPAN_SECONDS * SAMPLE_RATE / self._times.hop))
        self._rows: list[LogProbabilities] = []
        self._first = 0
        """Frame of the run that the first row belongs to."""

    def add(self, start: Samples, window: Window, rows: LogProbabilities) -> Iterator[Segment]:
        if not self._rows:
            self._first = window.first
        self._rows.append(rows)
        while (total := sum(map(len, self._rows))) > (0 if window.ends else self._limit):
            whole = np.concatenate(self._rows)
            cut = total if window.ends and total <= self._limit else self._cut(whole)
            yield from self._decode(start, whole[:cut])
            self._rows, self._first = [whole[cut:]], self._first + cut
        if window.ends:
            self._rows = []

    def _cut(self, rows: LogProbabilities) -> int:
        """Return a frame in the later half of the first span: in its longest pause between two words, if it has one."""
        half = self._limit // 2
        pauses = _pauses(rows[half : self._limit].argmax(axis=1), self._space)
        if not pauses:
            return self._limit
        begin, end = max(pauses, key=lambda pause: pause[1] - pause[0])
        return half + (begin + end) // 2

    def _decode(self, start: Samples, rows: LogProbabilities) -> Iterator[Segment]:
        if self._search:
            units = self._units.encode(self._search(rows))
            tokens = align(rows, units)[0] if units else []
        else:
            tokens = best_path(rows)
        offset = start / SAMPLE_RATE
        words = tuple(
            Word(
                word.text,
                round(offset + self._times.start(self._first + word.first), 3),
                round(offset + self._times.start(self._first + word.last + 1), 3),
                round(word.confidence, 4),
            )
            for word in words_of(tokens, self._symbols, self.spaced)
        )
        if words:
            text = (" " if self.spaced else "").join(word.text for word in words)
            yield Segment(words[0].start, words[-1].end, text, words)


def _pauses(best: npt.NDArray[np.int64], space: int) -> list[tuple[int, int]]:
    """Return start and end of the runs of blanks and spaces that have a space; of all runs if none has one.

    A start is after the run's first space: the words before keep it.
    """
    found: list[tuple[int, int, bool]] = []
    place = 0
    for quiet, group in itertools.groupby(best.tolist(), key=lambda unit: unit in (BLANK, space)):
        run = list(group)
        if quiet:
            has_space = space in run
            found.append((place + (run.index(space) + 1 if has_space else 0), place + len(run), has_space))
        place += len(run)
    chosen = [one for one in found if one[2]] or found
    return [(begin, end) for begin, end, _ in chosen]
