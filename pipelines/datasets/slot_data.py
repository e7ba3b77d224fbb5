"""What this machine holds of one slot's data, for pages: nothing is fetched, nothing is changed.

A clip that the newest version lists as dropped is not shown and not played, whichever version a page is about.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.datasets.clip_sound import ClipPlace, clip_wav, find_clip
from pipelines.datasets.dataset_version import GOLDEN, SHARDS, DatasetVersion
from pipelines.datasets.local_files import LocalFiles, local_files
from pipelines.datasets.versions import dataset_versions, find_latest, version_at
from pipelines.local import git
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class SlotData:
    """A dataset version of a slot in the workspace `root`, and where its files are."""

    root: Path
    shown: DatasetVersion
    newest: DatasetVersion

    @cached_property
    def dropped(self) -> frozenset[str]:
        """Ids of the clips that were dropped for good."""
        return frozenset(self.newest.withdrawn)

    @cached_property
    def shards(self) -> LocalFiles:
        """The shards of the version."""
        return self.shards_of(self.shown)

    def shards_of(self, version: DatasetVersion) -> LocalFiles:
        """Return the shards of any version of the slot."""
        return local_files(self.root, version.slot, version.revision, SHARDS, version.shards)

    def wav(self, clip: str) -> bytes | None:
        """Return the sound of a clip of any version as WAV; None if it was dropped or is not on this machine."""
        place = None if clip in self.dropped else self._place(clip)
        return clip_wav(place) if place else None

    def _place(self, clip: str) -> ClipPlace | None:
        # lazily: most clips are in the shown version, and each further folder is a call of Git
        return next((place for paths in self._places() if (place := find_clip(paths, clip))), None)

    def _places(self) -> Iterator[tuple[Path, ...]]:
        yield self.shards.paths
        for tag in git.tags(self.root, f"golden/{self.shown.slot}/v*"):
            yield local_files(self.root, self.shown.slot, tag, GOLDEN).paths
        for version in reversed(dataset_versions(self.root, self.shown.slot)):
            yield self.shards_of(version).paths


def open_slot_data(root: Path, slot: Slot, version: int | None = None) -> SlotData | None:
    """Return a dataset version of a slot, the newest without a number; None if the workspace has no such version.

    Raise VersioningError if Git cannot be read or a record is damaged.
    """
    newest = find_latest(root, slot)
    if newest is None or (version is not None and not 0 < version <= newest.version):
        return None
    shown = newest if version in (None, newest.version) else version_at(root, f"v{version}", slot)
    return SlotData(root, shown, newest)
