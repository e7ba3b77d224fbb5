"""RTTM, NIST's rich transcription time marks: who speaks when. Its words are in a text file of the same name."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.listing import ENCODING
from pipelines.datasets.importers.stm import channel_of
from pipelines.datasets.importers.timed_segments import (
    TimedSegment,
    annotated_clips,
    annotation_files,
    annotation_lines,
    time_of,
)
from pipelines.errors import IntakeError

_FIELDS = 8
"""``SPEAKER file channel start duration <NA> <NA> speaker …``; later fields are optional."""


def rttm_clips(source: Path, encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every RTTM file; line n of NAME.txt is the transcript of the nth SPEAKER line of NAME.rttm."""
    return annotated_clips(
        source, annotation_files(source, ".rttm"), functools.partial(_segments, encoding=encoding), RTTM.expects
    )


def _segments(path: Path, encoding: str) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    turns: list[tuple[str, TimedSegment]] = []
    for place, line in annotation_lines(path, encoding):
        fields = line.split()
        if not fields or line.startswith(";;") or fields[0] != "SPEAKER":
            continue
        if len(fields) < _FIELDS:
            raise IntakeError(f"{place}: it has {len(fields)} fields, expected SPEAKER file channel start duration …")
        start = time_of(fields[3], "the start", place)
        end = start + time_of(fields[4], "the duration", place)
        turns.append((fields[1], TimedSegment(start, end, "", fields[7], channel_of(fields[2], place), place)))
    words = path.with_suffix(".txt")
    if not words.is_file():
        raise IntakeError(
            f"RTTM has no words, and there is no {words.name} next to it; expected one line for each of the "
            f"{len(turns)} SPEAKER lines, in their order"
        )
    texts = [line for _, line in annotation_lines(words, encoding)]
    # the end of the last line begins none
    texts = texts[:-1] if not texts[-1] else texts
    if len(texts) != len(turns):
        raise IntakeError(f"{words.name} has {len(texts)} lines for {len(turns)} SPEAKER lines; expected one for each")
    found: dict[str, list[TimedSegment]] = {}
    for (name, turn), text in zip(turns, texts, strict=True):
        segment = TimedSegment(turn.start, turn.end, text.strip(), turn.speaker, turn.channel, turn.place)
        found.setdefault(name, []).append(segment)
    yield from found.items()


RTTM = Importer(
    name="rttm",
    expects="NIST RTTM files (NAME.rttm) with NAME.txt, a line for each turn, next to the recordings that they name",
    accepts=lambda source: bool(annotation_files(source, ".rttm")),
    read=rttm_clips,
    options=(ENCODING,),
)
