"""Annotated recordings: segments with times become clips that are cut out of their recording.

An annotation belongs to the recording of the same name in the same folder (``call-7.TextGrid`` to ``call-7.wav``).
Formats that name recordings inside (STM, CTM, RTTM, Label Studio) belong to those recordings, in the same folder too.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elp_core.audio import AudioInfo, probe
from elp_core.types import Seconds
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.importers.corpus_files import number
from pipelines.datasets.importers.manifest_text import read_text, undecodable
from pipelines.errors import IntakeError

RECORDINGS = frozenset(
    {
        *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".sph", ".w64", ".au"),
        *(".m4a", ".aac", ".amr", ".3gp", ".webm", ".mp4", ".mkv", ".mov", ".avi", ".wma", ".ts", ".mpg", ".caf"),
    }
)
"""Endings of recordings, in lower case."""
MERGE_PAUSE: Seconds = 0.5
MERGE_SECONDS: Seconds = 20.0
_TOLERANCE: Seconds = 0.05
"""Annotations that touch may overlap by this."""
_BEYOND: Seconds = 0.1
"""A segment may end this much after its file, as intake allows."""
_GENERIC = re.compile(r"(?:spk|spkr|speaker|sprecher|channel|tier|track)[ _-]?\d{1,3}", re.IGNORECASE)
"""Names that tools give in every recording. Codes such as ``S01`` or ``1272`` may be people's."""


@dataclass(frozen=True)
class TimedSegment:
    """One annotated stretch of a recording."""

    start: Seconds
    end: Seconds
    text: str
    speaker: str = ""
    channel: int | None = None
    """From 0; None if the annotation names none."""
    place: str = ""
    """Its place in the annotation file, such as ``line 7``, for people."""


ReadSegments = Callable[[Path], Iterable[tuple[str, Sequence[TimedSegment]]]]
"""An annotation file to the names of recordings in it, an empty one for the file's own, with their segments."""


def annotation_files(source: Path, suffix: str) -> list[Path]:
    """Return the file that `source` is, or the files in the folder, with an ending in any case; sorted."""
    if source.is_file():
        return [source] if source.suffix.lower() == suffix else []
    return sorted(path for path in source.rglob("*") if path.suffix.lower() == suffix and path.is_file())


def annotated_clips(source: Path, files: Sequence[Path], read: ReadSegments, expects: str) -> Iterator[SourceClip]:
    """Yield the clips of annotation files, in the order of the files and of their segments.

    A segment that overlaps another one, is outside its file or has no length is a clip with a fault. An IntakeError
    lists annotations that cannot be read and recordings that are missing or named twice.
    """
    top = source if source.is_dir() else source.parent
    faults: list[str] = []
    found: list[tuple[Path, Sequence[TimedSegment]]] = []
    for file in files:
        try:
            for name, segments in read(file):
                recording = find_recording(file.parent, name or file.stem, top)
                found.append((recording, segments))
                # a name that is altered would never be found again, by an erasure above all
                if broken := next((one for one in segments if undecodable(one.speaker)), None):
                    raise IntakeError(f"{broken.place}: the speaker has bytes that are not UTF-8; correct them")
        except IntakeError as error:
            faults.append(f"{file.relative_to(top)}: {str(error).replace(f'{file} ', 'it ', 1)}")
    twice = [path for path, same in itertools.groupby(sorted(path for path, _ in found)) if len(list(same)) > 1]
    faults += [f"{path.relative_to(top.resolve())} is annotated twice; keep one of the annotations" for path in twice]
    if faults:
        raise IntakeError.of_faults(source, faults)
    if not any(segments for _, segments in found):
        raise IntakeError(f"{source} has no segment; expected {expects}")
    for recording, segments in found:
        yield from _clips(recording, recording.relative_to(top.resolve()).as_posix(), segments)


def find_recording(folder: Path, name: str, top: Path) -> Path:
    """Return the recording `name` (with or without its ending) of a folder; an IntakeError says why there is none."""
    # files that macOS wrote have their letters decomposed
    wanted = _composed(Path(name).name)
    stems = {wanted, Path(wanted).stem} if Path(wanted).suffix.lower() in RECORDINGS else {wanted}
    matches = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in RECORDINGS
        and (_composed(path.name) == wanted or _composed(path.stem) in stems)
        and path.is_file()
    )
    exact = [path for path in matches if _composed(path.name) == wanted] or matches
    if not exact:
        raise IntakeError(f"there is no recording {wanted} (.wav, .flac, .m4a …) next to it")
    if len(exact) > 1:
        raise IntakeError(f"{', '.join(path.name for path in exact)} could be its recording; keep one")
    resolved = exact[0].resolve()
    if not resolved.is_relative_to(top.resolve()):
        raise IntakeError(f"{exact[0].name} is a link to a file outside {top}; copy the file there")
    return resolved


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def merged_words(words: Sequence[TimedSegment]) -> list[TimedSegment]:
    """Join timed words of one channel and speaker to segments: at pauses of half a second, or after 20 s."""
    segments: list[TimedSegment] = []
    for word in words:
        last = segments[-1] if segments else None
        if (
            last is not None
            and (last.channel, last.speaker) == (word.channel, word.speaker)
            and last.end - _TOLERANCE <= word.start < last.end + MERGE_PAUSE
            and word.end - last.start <= MERGE_SECONDS
        ):
            joined = f"{last.text} {word.text}"
            segments[-1] = TimedSegment(last.start, word.end, joined, last.speaker, last.channel, last.place)
        else:
            segments.append(word)
    return segments


def annotation_lines(path: Path, encoding: str) -> Iterator[tuple[str, str]]:
    """Yield the place of each line of a text file, such as ``line 7``, and the line; errors as `read_text`."""
    # not splitlines: a transcript may have a separator of Unicode inside
    for count, line in enumerate(read_text(path, encoding).split("\n"), 1):
        yield f"line {count}", line


def time_of(text: str, what: str, place: str) -> Seconds:
    """Return a time in seconds, 0 or more; an IntakeError names its place."""
    value = number(text)
    if value is None or not 0 <= value < 1e7:
        raise IntakeError(f"{place}: {what} is {text!r}, expected a number of seconds, 0 or more")
    return value


def _clips(recording: Path, path: str, segments: Sequence[TimedSegment]) -> Iterator[SourceClip]:
    try:
        info: AudioInfo | None = probe(recording)
    except ImportError:
        raise
    except Exception:
        info = None  # not only AudioError: decoders raise what they like; intake reports it with its reason
    overlapping = _overlapping(segments, info)
    for place, segment in enumerate(segments):
        fault = overlapping.get(place) or _fault(segment, info)
        if undecodable(segment.text):
            fault = ClipFault("not_utf8", f"{segment.place}: the transcript is not UTF-8")
        multi = info is not None and info.channels > 1
        yield SourceClip(
            path,
            recording,
            text=segment.text,
            speaker=_speaker(segment.speaker, recording.stem),
            start=segment.start,
            seconds=max(0.0, segment.end - segment.start),
            channel=segment.channel if multi else None,
            fault=fault,
        )


def _speaker(name: str, recording: str) -> str:
    """Return a name that means one person: `speaker 1` of two recordings are two people."""
    name = name.strip()
    if not name:
        return recording
    return f"{recording}/{name}" if _GENERIC.fullmatch(name) else name


def _fault(segment: TimedSegment, info: AudioInfo | None) -> ClipFault | None:
    span = f"{segment.place}: the segment from {segment.start:.3f} s to {segment.end:.3f} s"
    if segment.end <= segment.start:
        return ClipFault("no_length", f"{span} has no length")
    if info is not None and info.seconds and (segment.end > info.seconds + _BEYOND or segment.start >= info.seconds):
        return ClipFault("out_of_file", f"{span} is not in its file, which lasts {info.seconds:.3f} s")
    return None


def _overlapping(segments: Sequence[TimedSegment], info: AudioInfo | None) -> dict[int, ClipFault]:
    """Return the faults of segments that sound at the same time, by their place; channels of one file do not mix."""
    channels = info is not None and info.channels > 1
    found: dict[int, ClipFault] = {}
    order = sorted(range(len(segments)), key=lambda place: (segments[place].start, segments[place].end))
    latest: dict[int | None, int] = {}
    for place in order:
        segment = segments[place]
        key = segment.channel if channels else None
        before = latest.get(key)
        if before is not None and segments[before].end > segment.start + _TOLERANCE and segment.end > segment.start:
            for one, other in ((place, before), (before, place)):
                a, b = segments[one], segments[other]
                detail = (
                    f"{a.place}: {a.start:.3f} s to {a.end:.3f} s overlaps {b.place}, {b.start:.3f} s to {b.end:.3f} s"
                )
                found.setdefault(one, ClipFault("overlapping", detail))
        if before is None or segment.end > segments[before].end:
            latest[key] = place
    return found
