"""Subtitles, SubRip (.srt) and WebVTT (.vtt): each cue is a segment; WebVTT's voice tag is the speaker."""

import functools
import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.listing import ENCODING
from pipelines.datasets.importers.manifest_text import read_text
from pipelines.datasets.importers.timed_segments import TimedSegment, annotated_clips, annotation_files
from pipelines.errors import IntakeError

_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
"""Positions and colours, such as ``{\\an8}``."""
_VOICE = re.compile(r"<v[ .\t]")
_NOT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION", "X-TIMESTAMP-MAP")


def subtitle_clips(source: Path, form: str, encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every file of subtitles in the form ``srt`` or ``vtt``, with its recording."""
    expects = {"srt": SRT, "vtt": VTT}[form].expects
    files = annotation_files(source, f".{form}")
    return annotated_clips(source, files, functools.partial(_segments, form=form, encoding=encoding), expects)


def _segments(path: Path, form: str, encoding: str) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    import webvtt
    from webvtt.errors import MalformedCaptionError, MalformedFileError

    text = "\n".join(read_text(path, encoding).splitlines()) + "\n"
    lines = _cue_lines(text)
    try:
        found = [*webvtt.from_buffer(io.StringIO(text), format=form).captions]
    except (MalformedFileError, MalformedCaptionError) as error:
        raise IntakeError(f"it is not {form.upper()} ({error}); export it again") from error
    if len(found) != len(lines):
        raise IntakeError(
            f"{len(lines)} cues have a time line, {len(found)} of them can be read; look for a wrong time"
        )
    segments = []
    for line, cue in zip(lines, found, strict=True):
        if len(_VOICE.findall(cue.raw_text)) > 1:
            raise IntakeError(f"line {line}: the cue has two voices; give each a cue of its own")
        words = " ".join(html.unescape(_OVERRIDE.sub("", cue.text)).split())
        start, end = (time.in_milliseconds() / 1000 for time in (cue.start_time, cue.end_time))
        if words:
            segments.append(TimedSegment(start, end, words, cue.voice or "", place=f"line {line}"))
    yield "", segments


def _cue_lines(text: str) -> list[int]:
    """Return the line of the times of each cue; an IntakeError names a block that has none, or two."""
    found: list[int] = []
    block: list[tuple[int, str]] = []
    for place, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            block.append((place, line))
            continue
        times = [number for number, one in block if "-->" in one]
        if block and not block[0][1].startswith(_NOT_CUES):
            if not times or times[0] - block[0][0] > 1:
                raise IntakeError(f"line {block[0][0]}: expected a time line such as 00:00:01,000 --> 00:00:02,500")
            if len(times) > 1:
                raise IntakeError(f"line {times[1]}: a cue begins without an empty line before it")
            found += times
        block = []
    return found


SRT = Importer(
    name="srt",
    expects="SubRip subtitles (NAME.srt) next to their recordings (NAME.wav)",
    accepts=lambda source: bool(annotation_files(source, ".srt")),
    read=functools.partial(subtitle_clips, form="srt"),
    options=(ENCODING,),
)
VTT = Importer(
    name="vtt",
    expects="WebVTT subtitles (NAME.vtt) next to their recordings (NAME.wav); voice tags are speakers",
    accepts=lambda source: bool(annotation_files(source, ".vtt")),
    read=functools.partial(subtitle_clips, form="vtt"),
    options=(ENCODING,),
)
