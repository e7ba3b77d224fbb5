"""The read side: list dataset versions, and load their clips from any repository and revision without a checkout."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from elp_core.data.corpus import read_clips
from elp_core.data.trials import TrialList
from elp_core.types import Clip, Split
from pipelines.datasets import file_cache
from pipelines.datasets.dataset_version import (
    GOLDEN,
    RECORD_FILES,
    SHARDS,
    TRIALS_FILE,
    DatasetVersion,
    GoldenRef,
    GoldenSet,
    Record,
    parse_record,
)
from pipelines.datasets.trial_files import read_positions
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot

Repository = Workspace | str | Path
"""A workspace, or a repository by folder or Git URL."""
Columns = Literal["all", "meta"]
"""With ``meta`` the audio is left out."""


@dataclass(frozen=True)
class TrainingData:
    """What one training reads of a dataset version."""

    dataset: DatasetVersion
    golden: GoldenRef | None
    """The golden set in force at that version; None if the slot has no golden set."""
    train: list[Clip] = field(repr=False)
    """Clips of the training split, sorted by id, without the clips of the golden set."""
    validation: list[Clip] = field(repr=False)
    """Clips of the validation split, sorted by id, without the clips of the golden set."""


def dataset_versions(repository: Repository, slot: Slot) -> list[DatasetVersion]:
    """Return all versions of a slot, oldest first."""
    folder = _git_folder(repository)
    commits = list(numbered(folder, slot, "data").values())
    texts = git.show_all(folder, commits, slot.folder / RECORD_FILES[DatasetVersion])
    found = [
        replace(parse_record(DatasetVersion, text), revision=commit)
        for text, commit in zip(texts, commits, strict=True)
        if text
    ]
    return sorted(found, key=lambda version: version.version)


def find_latest(repository: Repository, slot: Slot) -> DatasetVersion | None:
    """Return the newest version of a slot, or None; no other version is read."""
    return _record_at(DatasetVersion, repository, "latest", slot)


def version_at(repository: Repository, version: str, slot: Slot) -> DatasetVersion:
    """Return the version called ``v3``, ``3``, ``latest``, by its tag, or in force at any other Git revision.

    Raise VersioningError if there is no such version.
    """
    found = _record_at(DatasetVersion, repository, version, slot)
    if found is not None:
        return found
    if version in ("", "latest"):
        raise VersioningError(f"{slot} has no dataset version yet; add recordings with: elp data add {slot} SOURCE")
    raise VersioningError(f"{slot} has no dataset version {version!r}; list them with: elp data log {slot}")


def numbered(folder: Path, slot: Slot, prefix: str) -> dict[int, str]:
    """Return the commits of a slot's dataset versions (`prefix` ``data``) or golden sets (``golden``), by number."""
    tags = git.tags(folder, f"{prefix}/{slot}/v*")
    # a person may have tagged another commit: v3-old
    return {found[1]: commit for tag, commit in tags.items() if (found := Slot.of_tag(tag))}


def latest_number(folder: Path, slot: Slot, prefix: str) -> int:
    """Return the number of the slot's newest dataset version (`prefix` ``data``) or golden set (``golden``), or 0."""
    return max(numbered(folder, slot, prefix), default=0)


def load_split(
    repository: str,
    version_or_tag: str,
    slot: Slot,
    splits: Collection[Split] | None,
    cache: Path,
    columns: Columns = "all",
) -> list[Clip]:
    """Return the clips of some splits (None: of all) of a dataset version, sorted by id.

    The training and validation splits never contain a clip of the golden set in force at that version. Raise
    VersioningError if the version does not exist or cannot be fetched.
    """
    return _clips(repository, version_at(repository, version_or_tag, slot), splits, cache, columns)


def load_training_data(repository: str, version: str, slot: Slot, cache: Path) -> TrainingData:
    """Return the dataset version, its golden set and both training splits, each read once.

    Raise VersioningError if the version does not exist or cannot be fetched.
    """
    dataset = version_at(repository, version, slot)
    golden = golden_ref(repository, dataset.golden, slot) if dataset.golden else None
    clips = _clips(repository, dataset, ("train", "validation"), cache, "all")
    train, validation = ([clip for clip in clips if clip.split == split] for split in ("train", "validation"))
    return TrainingData(dataset, golden, train, validation)


def _clips(
    repository: str, dataset: DatasetVersion, splits: Collection[Split] | None, cache: Path, columns: Columns
) -> list[Clip]:
    shards = file_cache.fetch_folder(repository, dataset.revision, dataset.slot.folder / SHARDS, cache)
    clips = read_clips(shards, splits, columns)
    if not dataset.golden:
        return clips
    # by id, because the golden set outlives the splits of the version that it was made from
    pinned = {clip.id for clip in _golden_clips(repository, dataset.revision, dataset.slot, cache, "meta")}
    return [clip for clip in clips if clip.split == "test" or clip.id not in pinned]


def golden_ref(repository: Repository, revision: str, slot: Slot) -> GoldenRef:
    """Return the golden set in force at a tag, a commit, ``latest`` or ``v3``, or raise VersioningError."""
    found = _record_at(GoldenRef, repository, revision, slot)
    if found is None:
        raise VersioningError(
            f"{slot} has no golden set at {revision or 'latest'}; the first delivery with test clips pins one, "
            f"and so does: elp data golden {slot} --from v1"
        )
    return found


def load_golden(repository: str, revision: str, slot: Slot, cache: Path) -> GoldenSet:
    """Return the golden set in force at a revision (see `golden_ref`), with its clips sorted by id.

    Raise VersioningError if none is pinned there, or the fetched clips are not the pinned ones.
    """
    ref = golden_ref(repository, revision, slot)
    clips = _golden_clips(repository, ref.revision, slot, cache, "all")
    got = ids_digest(clip.id for clip in clips)
    if got != ref.digest:
        raise VersioningError(
            f"{ref.tag}: the fetched clips have the digest {got}, expected {ref.digest}; restore the DVC remote"
        )
    return GoldenSet(ref.tag, ref.digest, clips, _golden_trials(repository, ref, slot, [clip.id for clip in clips]))


def golden_ids(repository: str, slot: Slot, cache: Path) -> frozenset[str]:
    """Return the ids of the newest golden set of a slot, without its audio; none if the slot has no golden set."""
    ref = _record_at(GoldenRef, repository, "latest", slot)
    clips = _golden_clips(repository, ref.revision, slot, cache, "meta") if ref else []
    return frozenset(clip.id for clip in clips)


def pinned_trials(repository: str, ref: GoldenRef, slot: Slot, cache: Path) -> TrialList | None:
    """Return the list of trials that is pinned with a golden set, or None; the set's audio is not read."""
    if ref.trials is None:
        return None
    clips = _golden_clips(repository, ref.revision, slot, cache, "meta")
    return _golden_trials(repository, ref, slot, [clip.id for clip in clips])


def _golden_trials(repository: str, ref: GoldenRef, slot: Slot, clips: list[str]) -> TrialList | None:
    if ref.trials is None:
        return None
    text = git.show(_git_folder(repository), ref.revision, slot.folder / TRIALS_FILE) or ""
    trials = read_positions(text, ref.trials.name, clips)
    if trials.digest != ref.trials.digest:
        raise VersioningError(
            f"{ref.tag}: its trials have the digest {trials.digest}, expected {ref.trials.digest}; restore "
            f"{TRIALS_FILE} from Git"
        )
    return trials


def _golden_clips(repository: str, revision: str, slot: Slot, cache: Path, columns: Columns) -> list[Clip]:
    return read_clips(file_cache.fetch_folder(repository, revision, slot.folder / GOLDEN, cache), None, columns)


def _record_at(kind: type[Record], repository: Repository, revision: str, slot: Slot) -> Record | None:
    folder, prefix = _git_folder(repository), "golden" if kind is GoldenRef else "data"
    name, bare = revision, revision.removeprefix("v")
    if revision in ("", "latest"):
        number = latest_number(folder, slot, prefix)
        name = slot.tag(number, prefix) if number else ""
    elif bare.isdigit():
        name = slot.tag(int(bare), prefix)
    commit = git.resolve(folder, name) if name else ""
    text = git.show(folder, commit, slot.folder / RECORD_FILES[kind]) if commit else None
    if text is None:
        return None
    record = parse_record(kind, text)
    # at a revision between two versions, the older record is in force: its revision is that of its own tag
    return replace(record, revision=git.resolve(folder, record.tag) or commit)


def _git_folder(repository: Repository) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elp"
    return git.local_copy(str(repository.root if isinstance(repository, Workspace) else repository), cache)
