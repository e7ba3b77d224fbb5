"""Subtitles of a transcript: cues by pauses and length, as SubRip (SRT) or WebVTT."""

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from elp_core._ranges import Checked, positive, within
from elp_core.transcript import Transcript, Word
from elp_core.types import Seconds


@dataclass(frozen=True)
class SubtitleConfig(Checked):
    """Limits of a cue; times are in seconds. The defaults are the usual ones of broadcasters."""

    title: ClassVar[str] = "subtitles"
    columns: int = within(42, 10)
    """Characters in a line; a wide character, such as a kanji, counts as two."""
    lines: int = within(2, 1, 4)
    """Lines in a cue."""
    max_seconds: float = positive(7.0)
    """Longest cue."""
    min_seconds: float = within(1.0, 0)
    """A shorter cue stays on until this, if the next one leaves it the time."""
    pause: float = positive(0.8)
    """A longer pause ends a cue."""


@dataclass(frozen=True)
class Cue:
    """What is on the screen at one time."""

    start: Seconds
    end: Seconds
    lines: tuple[str, ...]


def cues(transcript: Transcript, config: SubtitleConfig | None = None) -> list[Cue]:
    """Return the cues of a transcript, in order; none overlaps the next one.

    Law: the words of the cues, in order, are those of the transcript. In a script without spaces, a
    line may break between any two units.
    """
    config, spaced = config or SubtitleConfig(), transcript.spaced
    groups: list[list[Word]] = []
    for segment in transcript.segments:
        group: list[Word] = []
        for word in segment.words:
            if group and not _fits(group, word, spaced, config):
                groups.append(group)
                group = []
            group.append(word)
        groups.append(group)
    groups = [group for group in groups if group]
    if not groups:
        return []
    ends = [group[0].start for group in groups[1:]] + [float("inf")]
    return [
        Cue(
            group[0].start,
            min(max(group[-1].end, group[0].start + config.min_seconds), max(limit, group[0].start)),
            _lines([word.text for word in group], spaced, config.columns),
        )
        for group, limit in zip(groups, ends, strict=True)
    ]


def srt(found: Iterable[Cue]) -> str:
    """Return cues as a SubRip file; times have a comma before the milliseconds."""
    blocks = []
    for number, cue in enumerate(found, 1):
        text = "\n".join(cue.lines)
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(found: Iterable[Cue]) -> str:
    """Return cues as a WebVTT file; ``&``, ``<`` and ``>`` are escaped."""
    blocks = ["WEBVTT\n"]
    for cue in found:
        text = "\n".join(html.escape(line, quote=False) for line in cue.lines)
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _fits(group: Sequence[Word], word: Word, spaced: bool, config: SubtitleConfig) -> bool:
    if word.start - group[-1].end > config.pause or word.end - group[0].start > config.max_seconds:
        return False
    return len(_lines([*(one.text for one in group), word.text], spaced, config.columns)) <= config.lines


def _lines(words: Sequence[str], spaced: bool, columns: int) -> tuple[str, ...]:
    """Fill lines with words; a word that is longer than a line has one of its own."""
    space = " " if spaced else ""
    lines: list[str] = []
    for word in words:
        if lines and _columns(lines[-1] + space + word) <= columns:
            lines[-1] += space + word
        else:
            lines.append(word.lstrip())
    return tuple(lines)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _clock(seconds: Seconds, mark: str) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{mark}{whole % 1000:03}"
