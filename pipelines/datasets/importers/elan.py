"""ELAN files (.eaf): each tier without a parent is a speaker, each aligned annotation with a text a segment."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.manifest_text import require_text_size
from pipelines.datasets.importers.timed_segments import TimedSegment, annotated_clips, annotation_files
from pipelines.errors import IntakeError

_SUFFIX = ".eaf"


def elan_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of every ELAN file with its recording; dependent tiers (translations, glosses) are left out."""
    return annotated_clips(source, annotation_files(source, _SUFFIX), _segments, ELAN.expects)


def _segments(path: Path) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    from pympi.Elan import Eaf

    require_text_size(path)
    try:
        document = Eaf(str(path), suppress_version_warning=True)
    except Exception as error:
        # the package raises bare Exception for XML that is broken, and KeyError for a missing attribute
        raise IntakeError(f"it is no ELAN file that can be read ({error}); save it again in ELAN") from error
    segments = []
    for name, (aligned, _, attributes, _) in document.tiers.items():
        if attributes.get("PARENT_REF"):
            continue
        for key, (first, last, text, _) in aligned.items():
            place = f"tier {name!r}, annotation {key}"
            start, end = document.timeslots.get(first), document.timeslots.get(last)
            if start is None or end is None:
                raise IntakeError(f"{place} has no time; align it in ELAN")
            if text.strip():
                speaker = attributes.get("PARTICIPANT") or name
                segments.append(TimedSegment(start / 1000, end / 1000, text.strip(), speaker, place=place))
    yield "", sorted(segments, key=lambda one: (one.start, one.end))


ELAN = Importer(
    name="elan",
    expects="ELAN files (NAME.eaf) next to their recordings (NAME.wav); participants or tiers are speakers",
    accepts=lambda source: bool(annotation_files(source, _SUFFIX)),
    read=elan_clips,
)
