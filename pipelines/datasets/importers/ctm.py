"""CTM, NIST's time marks of words: ``file channel start duration word [confidence]``; words are joined to segments."""

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
    merged_words,
    time_of,
)
from pipelines.errors import IntakeError


def ctm_clips(source: Path, encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every CTM file; its first field names the recording."""
    return annotated_clips(
        source, annotation_files(source, ".ctm"), functools.partial(_segments, encoding=encoding), CTM.expects
    )


def _segments(path: Path, encoding: str) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    found: dict[str, dict[int, list[TimedSegment]]] = {}
    for place, line in annotation_lines(path, encoding):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        if len(fields) not in (5, 6):
            raise IntakeError(f"{place}: it has {len(fields)} fields, expected file channel start duration word")
        name, channel, start, duration, word = fields[:5]
        if word.startswith("<ALT"):
            raise IntakeError(f"{place}: alternatives ({word}) are not supported; keep one of them")
        begin = time_of(start, "the start", place)
        end = begin + time_of(duration, "the duration", place)
        side = channel_of(channel, place)
        words = found.setdefault(name, {}).setdefault(side, [])
        if words and begin < words[-1].start:
            raise IntakeError(f"{place}: {word!r} begins before the word of the line before; sort the file by time")
        words.append(TimedSegment(begin, end, word, "", side, place))
    for name, channels in found.items():
        yield name, [segment for _, words in sorted(channels.items()) for segment in merged_words(words)]


CTM = Importer(
    name="ctm",
    expects="NIST CTM files (*.ctm) next to the recordings that they name",
    accepts=lambda source: bool(annotation_files(source, ".ctm")),
    read=ctm_clips,
    options=(ENCODING,),
)
