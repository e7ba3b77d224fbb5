"""A delivery: what an importer says of its clips, what an operator may ask of it, and its content, read once."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from elp_core.config import to_dict
from elp_core.errors import CorpusError
from elp_core.groups import GROUP, normal_group
from elp_core.languages import LanguageConfig
from elp_core.types import Decibels, Seconds, Split
from pipelines.datasets.alignment import Alignment
from pipelines.datasets.audio_reader import AudioReader
from pipelines.datasets.each_channel import EachChannel
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.kept_bytes import KeptBytes
from pipelines.datasets.trial_files import TrialNames
from pipelines.datasets.worker_processes import WorkerProcess
from pipelines.errors import UsageError
from pipelines.registry.names import normal_name
from pipelines.registry.policies import DataPolicy

NOISES = ("factory",)
ChannelChoice = Literal["", "left", "right", "each", "mix"]
CHANNEL_CHOICES: tuple[ChannelChoice, ...] = ("left", "right", "each", "mix")
QUARANTINE_KINDS = ("duplicates", "vocabulary")
"""One sound with several words; transcripts outside the alphabet in more than single clips."""
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "eval": "test",
}
"""Names that sources give to their splits."""
_CONDITION = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class ClipFault:
    """Why a clip cannot be used. `reason` is a short stable word, `detail` is a sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True)
class SourceClip:
    """One recording of a delivery, and what the delivery says of it. Its names are in their normal form."""

    path: str
    """Name inside the delivery, with forward slashes."""
    audio: Path | bytes
    text: str = ""
    """Transcript as written, not yet normalised."""
    speaker: str = ""
    label: str = ""
    split: Split | Literal[""] = ""
    """Empty if the source names none: the speaker then decides."""
    condition: str = ""
    start: Seconds = 0.0
    """Offset of the clip inside its file."""
    seconds: Seconds | None = None
    """Length from `start`; None takes the file to its end."""
    channel: int | None = None
    """Channel of the file, from 0, if the source names one."""
    declared: Seconds | None = None
    """Length of the whole file (not of a cut) by the source's word, if it gives one."""
    language: str = ""
    """Language of the transcript, as the source names it."""
    fault: ClipFault | None = None
    """Found by the importer: the clip goes to quarantine undecoded."""
    sha256: str = ""
    """SHA-256 (hex) of the file; `read_delivery` sets it."""
    withheld: ClipFault | None = None
    """Found by the alignment: the clip is measured and goes to quarantine with its sound."""
    recording: str = ""
    """Hash of the recording without its transcript that an alignment cut the clip from."""
    side: str = ""
    """Which channel it is (``left``, ``right``, ``channel-2``), if a clip of the source became one for each channel."""
    teacher: str = ""
    """Digest of the bundle that wrote its text or label; empty if a person did. No format of delivery names one."""
    group: str = ""
    """Groups of the speaker and the device in their normal form; one that is not understood is a fault of the clip."""

    @property
    def whole(self) -> bool:
        """Whether the clip is all of its file, not a part or a channel of it."""
        return self.start == 0.0 and self.seconds is None and self.channel is None

    def __post_init__(self) -> None:
        # here, so that no importer can forget it
        for name in ("path", "speaker", "label", "condition"):
            object.__setattr__(self, name, normal_name(getattr(self, name)))
        try:
            object.__setattr__(self, "group", normal_group(self.group))
        except CorpusError as error:
            object.__setattr__(self, "group", "")
            object.__setattr__(self, "fault", self.fault or ClipFault("bad_group", str(error)))
        object.__setattr__(self, "text", self.text.encode("utf-8", "backslashreplace").decode("utf-8"))


@dataclass(frozen=True)
class Importer:
    """One format of delivery."""

    name: str
    expects: str
    """What the source has to look like, in one line."""
    accepts: Callable[[Path], bool]
    """Return whether a source looks like this format; cheap, and raises nothing."""
    read: Callable[..., Iterator[SourceClip]]
    """Yield the clips of a source, always in the same order; options are keyword arguments, as text. An IntakeError
    lists all faults of the source."""
    options: tuple[FormatOption, ...] = ()
    protocol: Callable[..., str] | None = None
    """Return the name of the published evaluation protocol that the splits follow; arguments as for `read`."""
    trials: Callable[..., TrialNames | None] | None = None
    """Return the source's own list of verification trials, or None; arguments as for `read`."""
    remarks: Callable[..., list[str]] | None = None
    """Return sentences on what of the source becomes no clip and is no fault; arguments as for `read`."""


@dataclass(frozen=True)
class DeliveryOptions:
    """How the clips of a delivery are changed and named at intake."""

    noise: str = ""
    """Kind of synthetic noise that is mixed into every clip; empty mixes none."""
    snr: Decibels = 5.0
    """Signal-to-noise ratio of the mix."""
    condition: str = ""
    """Recording condition of every clip; if it is empty, the noise or the source names it."""
    channel: ChannelChoice = ""
    """What is taken of files with two channels that differ; empty takes no such file."""
    format_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the source's format, by name."""
    quarantine: tuple[str, ...] = ()
    """Kinds of fault that would refuse the delivery as a whole, and whose clips go to quarantine instead."""

    @property
    def forced_condition(self) -> str:
        """The condition that every clip gets, or empty."""
        return self.condition or (f"{self.noise}-{self.snr:g}db" if self.noise else "")

    def condition_of(self, clip: SourceClip) -> str:
        """Return the recording condition of a clip; clips of two channels have different ones."""
        return "-".join(filter(None, (self.forced_condition or clip.condition, clip.side)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; those that old versions had not are left out if they are empty."""
        newer = ("channel", "format_options", "quarantine")
        return {key: value for key, value in dataclasses.asdict(self).items() if value or key not in newer}


def delivery_options(values: Mapping[str, Any]) -> DeliveryOptions:
    """Check plain values by the names of `DeliveryOptions`; None and empties are not given.

    A UsageError names every option that is unknown or has a value that is not allowed. What `format_options` may hold
    depends on the format: see `pipelines.datasets.importers.check_format_options`.
    """
    given = {key: value for key, value in values.items() if value is not None and value not in ("", {}, (), [])}
    known = ("noise", "snr", "condition", "channel", "format_options", "quarantine")
    faults = [f"unknown option {key}" for key in given if key not in known]
    reading = given.get("format_options", {})
    if not isinstance(reading, Mapping):
        faults.append(f"format_options is {reading!r}, expected names with values")
        reading = {}
    noise, condition = str(given.get("noise", "")), str(given.get("condition", ""))
    if noise and noise not in NOISES:
        faults.append(f"noise is {noise!r}, expected one of {', '.join(NOISES)}")
    if "snr" in given and not noise:
        faults.append("snr is given without noise")
    try:
        snr = float(given.get("snr", 5.0))
    except (TypeError, ValueError):
        snr = math.nan
    if not -30.0 <= snr <= 60.0:
        faults.append(f"snr is {given['snr']}, expected -30 to 60 dB")
    if condition and not _CONDITION.fullmatch(condition):
        faults.append(f"condition is {condition!r}, expected lower-case letters, digits, dots and hyphens, 40 at most")
    channel: ChannelChoice = next((choice for choice in CHANNEL_CHOICES if choice == given.get("channel")), "")
    if "channel" in given and not channel:
        faults.append(f"channel is {given['channel']!r}, expected one of {', '.join(CHANNEL_CHOICES)}")
    kinds = given.get("quarantine", ())
    kinds = tuple(sorted({kinds} if isinstance(kinds, str) else map(str, kinds)))
    faults += [
        f"quarantine is {one!r}, expected one of {', '.join(QUARANTINE_KINDS)}"
        for one in kinds
        if one not in QUARANTINE_KINDS
    ]
    if faults:
        raise UsageError("delivery options: " + "; ".join(faults))
    named = {str(key): str(reading[key]) for key in sorted(reading)}
    return DeliveryOptions(noise, snr, condition, channel, named, kinds)


@dataclass(frozen=True)
class DeliveryContent:
    """The clips of a delivery, each with the hash of its file."""

    key: str
    """SHA-256 (hex) of every clip's bytes and words, of the options, the policy and the language."""
    source: str
    """Name of the source's file or folder."""
    importer: str
    options: DeliveryOptions
    clips: tuple[SourceClip, ...] = field(repr=False)
    size: int
    """Bytes of audio; a file that several clips share counts once."""
    kept: int = 0
    """About how many bytes of it stay: all of a file, or the clips that are cut out of it."""
    earlier_key: str = ""
    """The key that versions gave it which did not know declared lengths and channels."""
    protocol: str = ""
    """Name of the published evaluation protocol that the splits follow, if the format has one."""
    trials: TrialNames | None = field(default=None, repr=False)
    """The source's own list of verification trials, if it has one."""
    untagged: int = 0
    """Transcripts that tags were removed from. Which tags is not kept: they may name a person."""
    alignment: Alignment | None = None
    """What cut its recordings into clips."""

    @property
    def name(self) -> str:
        """Short name of the delivery, stored with each of its clips."""
        return self.key[:12]

    def known(self, keys: Iterable[str]) -> bool:
        """Return whether it is among the deliveries with these keys."""
        return any(key in (self.key, self.earlier_key) for key in keys)


def read_delivery(
    source: Path,
    importer: Importer,
    options: DeliveryOptions,
    policy: DataPolicy,
    spool: Path,
    language: LanguageConfig | None = None,
) -> DeliveryContent:
    """Read a manifest, a folder or an archive with the bytes of every clip, and compute the delivery's key.

    Nothing is decoded. Up to `audio_reader.HELD_BYTES` of audio stay in memory, so that the bytes that are hashed are
    those that are decoded and kept in quarantine. Beyond that, files are read again later, and members of an archive
    are written to the folder `spool`. An IntakeError lists the faults of the source.
    """
    # old deliveries are recognised by this key: what goes into it, and in which form, must not change
    settings = [options.to_dict(), policy.key_values()]
    if language not in (None, LanguageConfig()):
        # what is left at its default is no part of it: later releases may have more to declare
        usual = to_dict(LanguageConfig())
        settings.append({name: value for name, value in to_dict(language).items() if value != usual[name]})
    whole = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    earlier, reader, kept = whole.copy(), AudioReader(spool), KeptBytes()
    chosen = options.format_options
    read: list[SourceClip] = []
    with WorkerProcess() as process:
        each = EachChannel(process) if options.channel == "each" else None
        for clip in importer.read(source, **chosen):
            audio, digest = reader.read(clip.audio)
            names = [clip.path, clip.text, clip.speaker, clip.label, clip.split, clip.condition]
            said = [digest, *names, clip.start, clip.seconds]
            newer = {"channel": clip.channel, "declared": clip.declared, "teacher": clip.teacher or None}
            # a delivery that brings groups is none that an older version took in
            group = {GROUP: clip.group} if clip.group else {}
            given = {name: value for name, value in newer.items() if value is not None} | group
            whole.update(json.dumps([*said, *([given] if given else [])], sort_keys=True).encode())
            earlier.update(json.dumps([*said, *([group] if group else [])]).encode())
            hashed = replace(clip, audio=audio, sha256=digest)
            kept.add(hashed)
            read += each.clips(hashed) if each else [hashed]
    trials = importer.trials(source, **chosen) if importer.trials else None
    if trials:
        whole.update(json.dumps(trials.pairs).encode())
    return DeliveryContent(
        key=whole.hexdigest(),
        source=source.resolve().name,
        importer=importer.name,
        options=options,
        clips=tuple(read),
        size=reader.size,
        kept=kept.total(),
        earlier_key=earlier.hexdigest(),
        protocol=importer.protocol(source, **chosen) if importer.protocol else "",
        trials=trials,
    )
