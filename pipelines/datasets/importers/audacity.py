"""Audacity's labels, exported as text: ``start<TAB>end<TAB>label``, a segment a line."""

import functools
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


def audacity_clips(source: Path, encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every file of labels (NAME.txt) with its recording. Labels have no speaker."""
    return annotated_clips(
        source, annotation_files(source, ".txt"), functools.partial(_segments, encoding=encoding), AUDACITY.expects
    )


def _segments(path: Path, encoding: str) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    found = []
    for place, line in annotation_lines(path, encoding):
        # a line that begins with a backslash has the frequencies of the label before
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.rstrip("\r").split("\t", 2)
        if len(fields) < 2:
            raise IntakeError(
                f"{place}: expected start, end and label with tabs between them, as Audacity exports them"
            )
        times = [
            time_of(_point(text), what, place) for text, what in zip(fields, ("the start", "the end"), strict=False)
        ]
        text = fields[2].strip() if len(fields) == 3 else ""
        if text:
            found.append(TimedSegment(times[0], times[1], text, place=place))
    yield "", found


def _point(text: str) -> str:
    # Audacity writes the decimal comma of the computer's language
    return text.strip().replace(",", ".")


def _accepts(source: Path) -> bool:
    files = annotation_files(source, ".txt")
    return bool(files) and all(_is_labels(path) for path in files[:20])


def _is_labels(path: Path) -> bool:
    with path.open("rb") as file:
        fields = file.read(400).partition(b"\n")[0].decode("utf-8-sig", "replace").split("\t")
    try:
        return len(fields) >= 2 and all(float(_point(text)) >= 0 for text in fields[:2])
    except ValueError:
        return False


AUDACITY = Importer(
    name="audacity",
    expects="labels exported from Audacity (NAME.txt: start, end, label) next to their recordings (NAME.wav)",
    accepts=_accepts,
    read=audacity_clips,
    options=(ENCODING,),
)
