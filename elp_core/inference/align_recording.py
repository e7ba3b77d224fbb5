"""Align one transcript with a recording of any length, and cut both into segments that can be trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elp_core.audio import Waveform
from elp_core.channels import Channel
from elp_core.errors import AudioError, CorpusError
from elp_core.inference.aligned_segments import CutConfig, Finding, SpokenFrames, cut_segments
from elp_core.inference.audio_blocks import audio_blocks, fixed_blocks
from elp_core.inference.emission_file import BEST, FREE, QUIET, UNITS, EmissionFile
from elp_core.inference.recogniser import Recogniser
from elp_core.inference.text_path import PAUSE, SPEECH, PathStates, Places, best_text_path
from elp_core.inference.transcript_words import UNKNOWN, TranscriptWords, transcript_words
from elp_core.inference.voice_activity import VoiceActivityConfig, speech_runs
from elp_core.inference.windows import FrameTimes, WindowConfig, cut_windows
from elp_core.languages import BLANK, LanguageConfig, Units
from elp_core.types import SAMPLE_RATE, Samples, Seconds

NOT_SPOKEN = -10.0
"""Log-probability that the score gives to a unit of a word that was not spoken."""
_SILENT = -20.0
"""Log-probability of every class but the blank where there is no speech."""
_ROWS = 4096
"""Frames that are in memory together."""
_FOREIGN = -1.0
"""A frame is speech if blank and space are less probable than its best class by this."""


@dataclass(frozen=True)
class AlignedSegment:
    """A stretch of a recording with its part of the transcript."""

    text: str
    """In the normal form of the language; empty for speech that is not in the transcript."""
    start: Seconds
    """In the recording."""
    end: Seconds
    """Equal to `start` if nothing of it was spoken."""
    score: float
    """Mean log-probability of a frame in the segment's worst window: 0 is certain. See `CutConfig.min_score`."""
    finding: Finding


def align_recording(
    source: Path | str | bytes | Waveform,
    transcript: str,
    recogniser: Recogniser,
    *,
    language: LanguageConfig | None = None,
    cut: CutConfig | None = None,
    windows: WindowConfig | None = None,
    voice_activity: VoiceActivityConfig | None = None,
    channel: Channel = "mix",
    start: Seconds = 0.0,
    seconds: Seconds | None = None,
    progress: Callable[[Seconds], None] | None = None,
) -> list[AlignedSegment]:
    """Return the segments of a recording that has one transcript, in order; their texts joined are the transcript.

    Speech that is not in the transcript, and words that were not spoken, become segments of their own with a bad score;
    their neighbours keep theirs. Memory does not depend on the length of the recording; time is that of `transcribe`,
    and a search of frames times units.

    Args:
        source: A file, its bytes, or float32 [samples] at 16 kHz.
        transcript: As written; it is brought into the normal form.
        recogniser: What gives the log-probabilities.
        language: Of the transcript; None takes that of the recogniser.
        cut: Where segments may begin and end, and which are bad.
        windows: Length and overlap of windows.
        voice_activity: How runs of speech are found; the rest counts as silence. None computes everything.
        channel: What is taken of a file with several channels, as in `elp_core.audio.load`.
        start: Where the part of the recording begins that the transcript belongs to.
        seconds: Its length; None takes all to the end.
        progress: Called with the seconds that are done.

    Raises:
        AudioError: The recording cannot be read, or is too short for a frame.
        CorpusError: The transcript is empty, or has more units than the recording has frames.
        ConfigError: A package of the language or of the voice activity is not installed.
    """
    task, times = recogniser.task, recogniser.times
    config, units = cut or CutConfig(), task.units
    text = transcript_words(transcript, language or task.options.language, units)
    if not text.words:
        raise CorpusError("the transcript has no words; write what is said in the recording")
    used = sorted({unit for word in text.words for unit in word.classes if unit != UNKNOWN})
    columns = {unit: place for place, unit in enumerate(used)} | {UNKNOWN: UNKNOWN}
    with EmissionFile(used, _space(units)) as emissions:
        length = 0
        emitter = _Emitter(recogniser, windows or WindowConfig(), voice_activity)
        for position in emitter.emit(_part(source, channel, start, seconds), emissions):
            length = position
            if progress:
                progress(length / SAMPLE_RATE / 2)
        _require_room(text, emissions.frames, length, times)
        states = PathStates.of([[columns[unit] for unit in word.classes] for word in text.words])
        path = best_text_path(
            states, emissions, lambda share: progress((1 + share) / 2 * length / SAMPLE_RATE) if progress else None
        )
        rate = SAMPLE_RATE / times.hop
        spoken = _spoken(text, states, path, emissions, round(config.window * rate))
    limit = length / SAMPLE_RATE
    return [
        AlignedSegment(
            text.between(*one.words),
            round(start + min(times.start(one.begin), limit), 3),
            round(start + min(times.start(one.end), limit), 3),
            round(one.score, 3),
            one.finding,
        )
        for one in cut_segments(text, spoken, rate, config)
    ]


def _space(units: Units) -> int | None:
    """Return the class of the blank between words, if a unit is nothing else."""
    return units.symbols.index(" ") + 1 if " " in units.symbols else None


def _part(
    source: Path | str | bytes | Waveform, channel: Channel, start: Seconds, seconds: Seconds | None
) -> Iterator[Waveform]:
    """Yield the blocks of a part of a recording."""
    begin = round(start * SAMPLE_RATE)
    end = None if seconds is None else begin + round(seconds * SAMPLE_RATE)
    place: Samples = 0
    for block in fixed_blocks(source) if isinstance(source, np.ndarray) else audio_blocks(source, channel):
        if end is not None and place >= end:
            return
        kept = block[max(0, begin - place) : None if end is None else end - place]
        place += len(block)
        if len(kept):
            yield kept


class _Emitter:
    """Writes the log-probabilities of all frames of a recording; outside of speech, blanks that are certain."""

    def __init__(self, recogniser: Recogniser, windows: WindowConfig, activity: VoiceActivityConfig | None) -> None:
        self._recogniser, self._windows, self._activity = recogniser, windows, activity
        self.samples: Samples = 0
        """How many were read."""

    def emit(self, blocks: Iterable[Waveform], emissions: EmissionFile) -> Iterator[Samples]:
        """Append all frames, and yield how many samples are done."""
        times, counted = self._recogniser.times, self._counted(blocks)
        runs: Iterable[tuple[Samples, Iterable[Waveform]]] = [(0, counted)]
        if self._activity:
            runs = ((run.start, [run.samples]) for run in speech_runs(counted, self._activity))
        for start, run in runs:
            self._silent(emissions, round(start / times.hop))
            for window in cut_windows(run, times, self._windows):
                emissions.append(self._recogniser.emit([window.samples])[0][window.keep])
                yield min(self.samples, emissions.frames * times.hop)
        self._silent(emissions, times.count(self.samples))
        yield self.samples

    def _counted(self, blocks: Iterable[Waveform]) -> Iterator[Waveform]:
        for block in blocks:
            self.samples += len(block)
            yield block

    def _silent(self, emissions: EmissionFile, frames: int) -> None:
        """Append frames of silence until there are `frames`."""
        while (missing := frames - emissions.frames) > 0:
            rows = np.full((min(missing, _ROWS), len(self._recogniser.task.units)), _SILENT, np.float32)
            rows[:, BLANK] = 0.0
            emissions.append(rows)


def _require_room(text: TranscriptWords, frames: int, samples: Samples, times: FrameTimes) -> None:
    if not frames:
        raise AudioError("too_short", f"the recording has {samples} samples at 16 kHz, too few for one frame")
    needed = sum(len(word.classes) for word in text.words)
    if needed > frames:
        lasts, least = samples / SAMPLE_RATE, needed * times.hop / SAMPLE_RATE
        raise CorpusError(
            f"the transcript has {needed:,} units, which need {least:.0f} s or more, and the recording lasts "
            f"{lasts:.0f} s; deliver the transcript of this recording only"
        )


def _spoken(
    text: TranscriptWords, states: PathStates, path: Places, emissions: EmissionFile, window: int
) -> SpokenFrames:
    """Return the frames of each word, and what the path says of each frame."""
    columns = states.columns[path]
    entered = np.diff(path, prepend=0) != 0
    levels, foreign = np.zeros(len(path), np.float32), np.zeros(len(path), bool)
    sounds = np.zeros(len(path), bool)
    for begin in range(0, len(path), _ROWS):
        rows = emissions.rows(begin, min(begin + _ROWS, len(path)))
        part = slice(begin, begin + len(rows))
        chosen, enters = columns[part], entered[part]
        own = rows[np.arange(len(rows)), np.where(chosen > 2, chosen - 3 + UNITS, FREE)]
        kept = np.where(enters, own, np.maximum(own, rows[:, BLANK]))
        levels[part] = np.where(chosen > PAUSE, kept, rows[:, QUIET])
        foreign[part] = (chosen == SPEECH) & (rows[:, QUIET] - rows[:, BEST] < _FOREIGN)
        # the blanks after the last unit of a word may be part of its state; they are a pause all the same
        sounds[part] = (chosen > PAUSE) & (enters | (own > rows[:, BLANK]))
    first, last = np.full(len(text.words), -1), np.full(len(text.words), -1)
    frames = np.flatnonzero(sounds)
    words = states.word_of(path[frames])
    last[words] = frames
    first[words[::-1]] = frames[::-1]
    spoken = SpokenFrames(first, last, foreign, levels)
    _mark_unspoken(text, spoken, window)
    return spoken


def _mark_unspoken(text: TranscriptWords, spoken: SpokenFrames, window: int) -> None:
    """Lower the log-probability of the frame at which words were skipped: at most as if all of a window were such."""
    frame, missing = 0, 0
    ends = [*zip(spoken.first.tolist(), spoken.last.tolist(), strict=True), (len(spoken.levels), 0)]
    lengths = [*(len(word.classes) for word in text.words), 0]
    for (begin, last), units in zip(ends, lengths, strict=True):
        if begin < 0:
            missing += units
            continue
        if missing:
            spoken.levels[min((frame + begin) // 2, len(spoken.levels) - 1)] += NOT_SPOKEN * min(missing, window)
        frame, missing = last + 1, 0
