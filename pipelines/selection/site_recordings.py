"""The recordings of a folder as intake would take them: what cannot be used is left out with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from elp_core.types import Decibels, Seconds
from pipelines.datasets.aligned_delivery import aligned_sounds, sound_id
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS
from pipelines.datasets.delivery import ClipFault, DeliveryOptions, SourceClip
from pipelines.datasets.importers.manifest_text import printable
from pipelines.datasets.quarantine import read_quarantine
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
_TOLERANCE: Seconds = 0.1
"""A clip may be longer than its recording by this, as at intake."""


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
    sources: Mapping[str, Seconds] = field(default_factory=dict)
    """Longest clip by `source_name`, of clips that are labelled or golden."""
    quarantined: frozenset[str] = frozenset()
    """The `source_name` of clips in quarantine."""
    aligned: frozenset[str] = frozenset()
    """The `sound_id` of recordings that were cut by an alignment."""


def source_name(path: str) -> str:
    """Return the name of a recording without its folders and its ending, in lower case."""
    from pipelines.datasets.importers.timed_segments import RECORDINGS

    name = PurePosixPath(path)
    return (name.stem if name.suffix.lower() in RECORDINGS else name.name).casefold()


def held_clips(workspace: Workspace, slot: Slot) -> HeldClips:
    """Return what the newest version and the golden set of a slot hold; nothing for a slot without data."""
    current = find_latest(workspace, slot)
    if current is None:
        return HeldClips((), (), frozenset(), frozenset())
    shards = present_files(workspace, current, SHARDS, workspace.cache)
    golden = present_files(workspace, current, GOLDEN, workspace.cache)
    labelled: dict[str, Seconds] = {}
    taught: set[str] = set()
    taken, sources = set(current.withdrawn), dict[str, Seconds]()
    for shard in shards:
        for row in read_columns(shard, ["id", "split", "duration", "teacher", "audio.path"]).to_pylist():
            if row["teacher"]:
                taught.add(row["id"])
                continue
            _hold(row, taken, sources)
            if row["split"] == "train":
                labelled[row["id"]] = row["duration"]
    for shard in golden:
        for row in read_columns(shard, ["id", "duration", "audio.path"]).to_pylist():
            _hold(row, taken, sources)
    quarantine = present_files(workspace, current, QUARANTINE, workspace.cache)
    return HeldClips(
        labelled=tuple(sorted(labelled)),
        shards=tuple(shards),
        taken=frozenset(taken),
        taught=frozenset(taught),
        labelled_seconds=sum(labelled.values()),
        taught_seconds=current.taught_seconds,
        sources=sources,
        quarantined=frozenset(source_name(one.path) for one in read_quarantine(quarantine)),
        aligned=aligned_sounds(current),
    )


def _hold(row: Mapping[str, Any], taken: set[str], sources: dict[str, Seconds]) -> None:
    taken.add(row["id"])
    name = source_name(row["path"])
    sources[name] = max(sources.get(name, 0.0), row["duration"])


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
    held: HeldClips,
    report: ReadReport | None = None,
    *,
    for_training: bool = False,
) -> Iterator[SiteRecording | LeftOut]:
    """Yield each recording of a folder, read and measured as at intake, or why it is left out; by name.

    Left out are recordings that cannot be read, whose sound breaks a rule of the slot, that have no speech, that the
    slot has, and the second of two that are the same sound. `for_training`: they will be training clips without a look
    by a person, so those with a pseudo-label or in quarantine are left out, too. Some hundred are in memory at once.
    """
    from elp_core.audio import load
    from elp_core.inference.speech_presence import holds_speech
    from pipelines.datasets.clip_rules import rules_for
    from pipelines.datasets.measuring import IntakeSettings, measure_clips

    files, own = list[Path](), workspace.settings.for_slot(slot)
    for file in recording_files(folder):
        name = file.relative_to(folder).as_posix()
        if (shown := printable(name)) == name:
            files.append(file)
        else:
            # no list of this folder can name it, and no dataset version
            yield LeftOut(shown, "file_name", "its name is not UTF-8; rename the file")
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
            if why := held_as(row.id, row.duration, clips[place], held, for_training=for_training):
                yield LeftOut(name, "taken", why)
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


def held_as(clip_id: str, seconds: Seconds, clip: SourceClip, held: HeldClips, *, for_training: bool) -> str:
    """Return in words how the slot has a recording, or an empty text; `clip` is all of a file.

    Clips that were cut out of it have other ids, so a name of a stored recording counts, too, if the clips are not
    longer than the recording: another recording of this name is left out rather than a test clip trained on.
    """
    if clip_id in held.taken or (for_training and clip_id in held.taught):
        return "the slot has this recording, or it was dropped for good"
    name, other = source_name(clip.path), "if it is another recording, rename it"
    longest = held.sources.get(name)
    if longest is not None and longest <= seconds + _TOLERANCE:
        return f"the slot has clips of a recording with this name; {other}"
    if for_training and name in held.quarantined:
        return f"a recording with this name is in quarantine; {other}"
    if held.aligned and sound_id(replace(clip, sha256=_file_digest(clip.audio))) in held.aligned:
        return "it was cut into clips with --align"
    return ""


def _file_digest(audio: Path | bytes) -> str:
    if isinstance(audio, bytes):
        return hashlib.sha256(audio).hexdigest()
    with audio.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
