"""What was recorded for a slot, as its dataset version and its golden set have it."""

from collections.abc import Mapping
from dataclasses import dataclass

from elp_core.types import Seconds
from pipelines.datasets.dataset_version import DatasetVersion, GoldenRef


@dataclass(frozen=True)
class RecordedAudio:
    """Amounts of a slot's audio."""

    source: str
    """Tag of the dataset version."""
    seconds: Seconds
    clips: int
    speakers: int
    conditions: Mapping[str, int]
    """Clips by recording condition."""
    groups: Mapping[str, Mapping[str, int]]
    """Clips by value, for each key of groups."""
    quarantined: int
    reasons: Mapping[str, int]
    """Clips in quarantine by reason."""
    golden: str
    """Tag of the golden set; empty without one."""
    golden_clips: int
    golden_seconds: Seconds
    golden_speakers: int
    taught_seconds: Seconds
    """Of clips with a pseudo-label."""
    closed_set: bool
    stored_bytes: int | None
    """Of the shards; None if their size is not recorded."""

    @property
    def hours(self) -> float:
        """Return the hours of audio."""
        return self.seconds / 3600

    @property
    def refused_share(self) -> float:
        """Return the clips in quarantine as a share of all that were delivered."""
        return self.quarantined / max(1, self.quarantined + self.clips)


def recorded_audio(version: DatasetVersion, golden: GoldenRef | None, stored_bytes: int | None) -> RecordedAudio:
    """Return the amounts of a dataset version and of the golden set in force."""
    return RecordedAudio(
        source=version.tag,
        seconds=version.seconds,
        clips=version.clips,
        speakers=version.speakers,
        conditions=version.conditions,
        groups=version.groups,
        quarantined=version.quarantined,
        reasons=version.quarantine,
        golden=golden.tag if golden else "",
        golden_clips=golden.clips if golden else 0,
        golden_seconds=golden.seconds if golden else 0.0,
        golden_speakers=golden.speakers if golden else 0,
        taught_seconds=version.taught_seconds,
        closed_set=version.closed_set,
        stored_bytes=stored_bytes,
    )
