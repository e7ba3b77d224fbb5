"""Praat TextGrids: each interval tier is a speaker, each interval with a text a segment."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.manifest_text import require_text_size
from pipelines.datasets.importers.timed_segments import TimedSegment, annotated_clips, annotation_files
from pipelines.errors import IntakeError

_SUFFIX = ".textgrid"
_ALIGNED = re.compile(r"(?:.* - )?(?:phones?|phonemes?|segments?|words?)", re.IGNORECASE)
"""Tiers of a forced aligner, such as ``anna - phones``."""


def textgrid_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of every TextGrid (long or short, UTF-8 or UTF-16) with its recording."""
    return annotated_clips(source, annotation_files(source, _SUFFIX), _segments, TEXTGRID.expects)


def _segments(path: Path) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    from praatio import textgrid
    from praatio.utilities.errors import PraatioException

    require_text_size(path)
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="error")
    except (PraatioException, ValueError, IndexError, KeyError, AttributeError) as error:
        raise IntakeError(f"it is no TextGrid that can be read ({error}); save it again in Praat") from error
    aligned = [name for name in grid.tierNames if _ALIGNED.fullmatch(name.strip())]
    if aligned:
        raise IntakeError(
            f"the tier {aligned[0]!r} has words or sounds, as an aligner writes them; expected a tier of sentences for "
            "each speaker, so remove it"
        )
    tiers = [grid.getTier(name) for name in grid.tierNames]
    yield (
        "",
        [
            TimedSegment(float(start), float(end), label, tier.name, place=f"tier {tier.name!r}")
            for tier in tiers
            if isinstance(tier, textgrid.IntervalTier)
            for start, end, label in tier.entries
            if label.strip()
        ],
    )


TEXTGRID = Importer(
    name="textgrid",
    expects="Praat TextGrids (NAME.TextGrid) next to their recordings (NAME.wav); tiers are speakers",
    accepts=lambda source: bool(annotation_files(source, _SUFFIX)),
    read=textgrid_clips,
)
