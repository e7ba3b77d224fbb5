"""STM, NIST's segment time marks: ``file channel speaker start end [<labels>] transcript``, a segment a line."""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.listing import ENCODING
from pipelines.datasets.importers.timed_segments import (
    TimedSegment,
    annotated_clips,
    annotation_files,
    annotation_lines,
    time_of,
)
from pipelines.errors import IntakeError

_LABELS = re.compile(r"<[^<>\s]*,[^<>\s]*>|<NA>", re.IGNORECASE)
"""``<o,f0,male>``; a transcript may begin with a tag such as ``<unk>``, which has no comma."""
_IGNORED = "ignore_time_segment_in_scoring"
"""What TED-LIUM writes between the segments of a talk."""


def stm_clips(source: Path, encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every STM file; its first field names the recording."""
    return annotated_clips(
        source, annotation_files(source, ".stm"), functools.partial(_segments, encoding=encoding), STM.expects
    )


def channel_of(text: str, place: str) -> int:
    """Return a channel of NIST's formats, from 0: they count 1, 2 or A, B; an IntakeError names the line."""
    channels = {"1": 0, "2": 1, "A": 0, "B": 1, "a": 0, "b": 1}
    if text not in channels:
        raise IntakeError(f"{place}: the channel is {text!r}, expected 1, 2, A or B")
    return channels[text]


def _segments(path: Path, encoding: str) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    found: dict[str, list[TimedSegment]] = {}
    for place, line in annotation_lines(path, encoding):
        fields = line.split(maxsplit=5)
        if not fields or line.startswith(";;"):
            continue
        if len(fields) < 5:
            raise IntakeError(
                f"{place}: it has {len(fields)} fields, expected file channel speaker start end transcript"
            )
        name, channel, speaker, start, end = fields[:5]
        text = fields[5].strip() if len(fields) > 5 else ""
        first, _, rest = text.partition(" ")
        words = rest.strip() if _LABELS.fullmatch(first) else text
        if words == _IGNORED:
            continue
        times = time_of(start, "the start", place), time_of(end, "the end", place)
        segment = TimedSegment(*times, words, speaker, channel_of(channel, place), place)
        found.setdefault(name, []).append(segment)
    yield from found.items()


STM = Importer(
    name="stm",
    expects="NIST STM files (*.stm) next to the recordings that they name",
    accepts=lambda source: bool(annotation_files(source, ".stm")),
    read=stm_clips,
    options=(ENCODING,),
)
