"""The recordings of a folder as intake would take them: what cannot be used is left out with its reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.types import Decibels, Seconds
from pipelines.datasets.dataset_version import GOLDEN, SHARDS
from pipelines.datasets.delivery import ClipFault, DeliveryOptions, SourceClip
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.slot_shards import present_files
from pipelines.datasets.versions import find_latest
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.audio import Waveform
    from elp_core.data.corpus import ShardRow
    from pipelines.datasets.clip_rules import Rule

ReadReport = Callable[[int, int, Seconds], None]
"""Takes recordings done, recordings in all, and seconds of audio done."""


@dataclass(frozen=True, eq=False)
class SiteRecording:
    """A recording that the slot could use."""

    id: str
    """As `Clip.id`."""
    name: str
    """Path relative to the folder, with forward slashes."""
    file: Path
    samples: Waveform
    """float32 [samples], mono 16 kHz."""
    seconds: Seconds
    snr_db: Decibels


@dataclass(frozen=True)
class LeftOut:
    """A recording that was not considered."""

    name: str
    reason: str
    """A short stable word."""
    detail: str


@dataclass(frozen=True)
class HeldClips:
    """What a slot has already."""

    labelled: tuple[str, ...]
    """Ids of its training clips that people labelled, sorted."""
    shards: tuple[Path, ...]
    """Files with them."""
    taken: frozenset[str]
    """Ids of clips that are labelled, golden, or were dropped for good."""
    taught: frozenset[str]
    """Ids of clips with a pseudo-label."""
    labelled_seconds: Seconds = 0.0
    """Audio of `labelled`."""
    taught_seconds: Seconds = 0.0


def held_clips(workspace: Workspace, slot: Slot) -> HeldClips:
    """Return what the newest version and the golden set of a slot hold; nothing for a slot without data."""
    current = find_latest(workspace, slot)
    if current is None:
        return HeldClips((), (), frozenset(), frozenset())
    shards = present_files(workspace, current, SHARDS, workspace.cache)
    golden = present_files(workspace, current, GOLDEN, workspace.cache)
    labelled: dict[str, Seconds] = {}
    taught: set[str] = set()
    taken = set(current.withdrawn)
    for shard in shards:
        for row in read_columns(shard, ["id", "split", "duration", "teacher"]).to_pylist():
            if row["teacher"]:
                taught.add(row["id"])
                continue
            taken.add(row["id"])
            if row["split"] == "train":
                labelled[row["id"]] = row["duration"]
    for shard in golden:
        taken |= {*read_columns(shard, ["id"])["id"].to_pylist()}
    return HeldClips(
        labelled=tuple(sorted(labelled)),
        shards=tuple(shards),
        taken=frozenset(taken),
        taught=frozenset(taught),
        labelled_seconds=sum(labelled.values()),
        taught_seconds=current.taught_seconds,
    )


def recording_files(folder: Path) -> list[Path]:
    """Return every recording below a folder, by name; a UsageError if there is none."""
    from pipelines.datasets.importers.timed_segments import RECORDINGS

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the folder with the recordings of the site")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in RECORDINGS and path.is_file())
    if not found:
        raise UsageError(f"{folder} has no recording ({', '.join(sorted(RECORDINGS)[:8])} …)")
    return found


def read_site(
    workspace: Workspace,
    slot: Slot,
    folder: Path,
    taken: Collection[str],
    report: ReadReport | None = None,
) -> Iterator[SiteRecording | LeftOut]:
    """Yield each recording of a folder, read and measured as at intake, or why it is left out; by name.

    Left out are recordings that cannot be read, whose sound breaks a rule of the slot, that have no speech, whose ids
    are `taken`, and the second of two that are the same sound. Some hundred are in memory at once.
    """
    from elp_core.audio import load
    from elp_core.inference.speech_presence import holds_speech
    from pipelines.datasets.clip_rules import rules_for
    from pipelines.datasets.measuring import IntakeSettings, measure_clips

    files, own = recording_files(folder), workspace.settings.for_slot(slot)
    clips = [SourceClip(file.relative_to(folder).as_posix(), file) for file in files]
    rules = [rule for rule in rules_for(slot.task, own.data, own.language) if rule.kind == "between"]
    settings = IntakeSettings(own.data, DeliveryOptions(), "", own.language)
    seen: dict[str, str] = {}
    seconds: Seconds = 0.0
    for place, row in enumerate(measure_clips(clips, settings)):
        name = clips[place].path
        if isinstance(row, ClipFault):
            yield LeftOut(name, row.reason, row.detail)
        else:
            seconds += row.duration
            if row.id in taken:
                yield LeftOut(name, "taken", "the slot has this recording, or it was dropped for good")
            elif row.id in seen:
                yield LeftOut(name, "same_sound", f"the same sound as {seen[row.id]}")
            elif fault := _broken(row, rules):
                yield LeftOut(name, fault.reason, fault.detail)
            elif not holds_speech(samples := load(row.audio)):
                yield LeftOut(name, "no_speech", "no speech was found in it")
            else:
                seen[row.id] = name
                yield SiteRecording(row.id, name, files[place], samples, row.duration, row.snr_db)
        if report:
            report(place + 1, len(files), seconds)


def usable_recordings(found: Iterable[SiteRecording | LeftOut], left_out: list[LeftOut]) -> Iterator[SiteRecording]:
    """Yield what can be used; the rest is put into `left_out`."""
    for one in found:
        if isinstance(one, LeftOut):
            left_out.append(one)
        else:
            yield one


def _broken(row: ShardRow, rules: Sequence[Rule]) -> ClipFault | None:
    """Return the fault of the first rule on the sound that a row breaks; rules on its words do not apply."""
    for rule in rules:
        value = getattr(row, rule.column, None)
        low, high = rule.minimum, rule.maximum
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            return ClipFault(rule.reason, f"{rule.column} is {value:.4g}, expected {rule.expects}")
    return None
