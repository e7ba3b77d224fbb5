"""What this machine holds of one slot's data, for pages: nothing is fetched, nothing is changed.

A clip that the newest version lists as dropped is not shown and not played, whichever version a page is about.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from elp_core.languages import codes, language
from pipelines.datasets.clip_history import ClipHistory, clip_history
from pipelines.datasets.clip_sound import ClipPlace, clip_wav, find_clip, quarantined_wav
from pipelines.datasets.clip_table import ClipTable, read_clip_table
from pipelines.datasets.dataset_version import (
    GOLDEN,
    GOLDEN_FILE,
    QUARANTINE,
    SHARDS,
    DatasetVersion,
    GoldenRef,
    parse_record,
)
from pipelines.datasets.dvc import metafile, tracked_hash
from pipelines.datasets.local_files import LocalFiles, local_files
from pipelines.datasets.quarantine_page import ShownQuarantine, read_shown_quarantine
from pipelines.datasets.shard_columns import shard_ids
from pipelines.datasets.versions import dataset_versions, find_latest, numbered, version_at
from pipelines.local import git
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class SlotData:
    """A dataset version of a slot in the workspace `root`, and where its files are."""

    root: Path
    shown: DatasetVersion
    newest: DatasetVersion

    @property
    def slot(self) -> Slot:
        """The slot."""
        return self.newest.slot

    @property
    def spaced(self) -> bool:
        """Whether the transcripts have spaces between words."""
        code = self.shown.language.code
        return code not in codes() or language(code).spaced

    @cached_property
    def dropped(self) -> frozenset[str]:
        """Ids of the clips that were dropped for good."""
        return frozenset(self.newest.withdrawn)

    @cached_property
    def shards(self) -> LocalFiles:
        """The shards of the version."""
        return self._shards_of(self.shown)

    @property
    def clips(self) -> ClipTable:
        """The clips of the version whose shards are on this machine."""
        return read_clip_table(self.shards.paths, self.dropped)

    @cached_property
    def golden(self) -> frozenset[str]:
        """Ids of the clips of the golden set in force at the version, as far as they are on this machine."""
        refs = [ref for ref in self._pinned() if ref.tag == self.shown.golden]
        return frozenset(clip for ref in refs for path in self._golden_of(ref).paths for clip in _ids(path))

    @cached_property
    def quarantine(self) -> tuple[ShownQuarantine, ...]:
        """The clips in quarantine at the newest version, as far as they are on this machine."""
        tracked = tracked_hash(git.show(self.root, self.newest.revision, metafile(self.slot.folder / QUARANTINE)))
        return read_shown_quarantine(local_files(self.root, self.slot, QUARANTINE, tracked).paths)

    def wav(self, clip: str) -> bytes | None:
        """Return the sound of a clip of any version as WAV; None if it was dropped or is not on this machine."""
        place = None if clip in self.dropped else self._place(clip)
        return clip_wav(place) if place else None

    def quarantined_wav(self, key: str) -> bytes | None:
        """Return the sound of a clip in quarantine as WAV; None if it is not there, or its sound cannot be read."""
        found = next((one for one in self.quarantine if one.key == key), None)
        return quarantined_wav(found.place) if found and found.playable else None

    def history(self, clip: str) -> ClipHistory | None:
        """Return the history of a clip; None if it was dropped or is not on this machine."""
        if clip in self.dropped:
            return None
        versions = dataset_versions(self.root, self.slot)
        return clip_history(clip, versions, self._pinned(), self._shards_of, self._golden_of)

    def _place(self, clip: str) -> ClipPlace | None:
        # most clips are in the shown version, and the other folders take calls of Git
        return next((place for paths in self._places() if (place := find_clip(paths, clip))), None)

    def _places(self) -> Iterator[tuple[Path, ...]]:
        yield self.shards.paths
        for ref in reversed(self._pinned()):
            yield self._golden_of(ref).paths
        for version in reversed(dataset_versions(self.root, self.slot)):
            yield self._shards_of(version).paths

    def _shards_of(self, version: DatasetVersion) -> LocalFiles:
        return local_files(self.root, self.slot, SHARDS, version.dvc_hash, version.shards)

    def _golden_of(self, ref: GoldenRef) -> LocalFiles:
        return local_files(self.root, self.slot, GOLDEN, ref.dvc_hash)

    def _pinned(self) -> list[GoldenRef]:
        """Return all golden sets of the slot, oldest first."""
        commits = list(numbered(self.root, self.slot, "golden").values())
        texts = git.show_all(self.root, commits, self.slot.folder / GOLDEN_FILE)
        found = [
            replace(parse_record(GoldenRef, text), revision=commit)
            for text, commit in zip(texts, commits, strict=True)
            if text
        ]
        return sorted(found, key=lambda ref: ref.version)


def open_slot_data(root: Path, slot: Slot, version: int | None = None) -> SlotData | None:
    """Return a dataset version of a slot, the newest without a number; None if the workspace has no such version.

    Raise VersioningError if Git cannot be read or a record is damaged.
    """
    newest = find_latest(root, slot)
    if newest is None or (version is not None and not 0 < version <= newest.version):
        return None
    shown = newest if version in (None, newest.version) else version_at(root, f"v{version}", slot)
    return SlotData(root, shown, newest)


def _ids(path: Path) -> list[str]:
    found: list[str] = shard_ids(path).to_pylist()
    return found
