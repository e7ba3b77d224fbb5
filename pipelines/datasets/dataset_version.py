"""The records that Git keeps of a slot's data: one of each dataset version and one of each golden set."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from elp_core.languages import NormaliserId
from elp_core.types import Clip, Seconds
from pipelines.datasets.alignment import Alignment
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.errors import VersioningError
from pipelines.registry.lineage import normaliser_text
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    # it loads numpy, which would double the start time of commands that only read the records
    from elp_core.data.trials import TrialList

FORMAT = 1
DATASET_FILE = "dataset.json"
GOLDEN_FILE = "golden.json"
READMIT = "readmit"
"""In place of a delivery's format: dropped clips may come again from this version on."""
RENORMALISE = "renormalise"
"""In place of a delivery's format: the transcripts have another normal form from this version on."""
DROP_TAUGHT = "drop-pseudo-labels"
"""In place of a delivery's format: clips with pseudo-labels left with this version."""
_LEFT_OUT = ("untagged", "new_units", "protocol", "filled", "alignment", "teacher", "relabelled", "new_groups")
"""Fields of a delivery that are not in the record if they are empty."""
TRIALS_FILE = "golden-trials.txt"
"""The trials of the golden set, if a list of them is pinned with it."""
SHARDS, QUARANTINE, GOLDEN = "shards", "quarantine", "golden"
"""Folders of a slot, each tracked by DVC."""


@dataclass(frozen=True)
class Delivery:
    """What one dataset version brought in, or dropped (then the numbers are negative)."""

    key: str
    """Hash of the content: the same delivery is recognised by it."""
    name: str
    """Short name, stored with each clip."""
    source: str
    importer: str
    options: Mapping[str, Any]
    """The delivery options."""
    delivered: int
    """Clips in the source."""
    clips: int
    """New clips."""
    seconds: Seconds
    quarantined: int
    repeats: int
    """Clips that the slot had already."""
    version: int
    """The dataset version that it made."""
    created: str
    """UTC, ISO 8601."""
    withdrawn: int = 0
    """Clips that were left out because they had been dropped; of a drop, the clips that it dropped."""
    protocol: str = ""
    """Published evaluation protocol that the splits follow. Left out of the record if it is empty."""
    new_units: tuple[str, ...] = ()
    """Units that it added to those of the versions before; empty for the first units of a slot."""
    untagged: int = 0
    """Transcripts that tags were removed from; left out of the record if there is none."""
    filled: Mapping[str, int] = field(default_factory=dict)
    """Clips by split that a rule for small slots placed there (`split_filling`); not in the record if there is none."""
    alignment: Alignment | None = None
    """What cut its recordings; left out of the record if they were not aligned."""
    teacher: str = ""
    """Digest of the bundle that labelled its clips; left out of the record if people did."""
    relabelled: int = 0
    """Clips with a pseudo-label that it replaced by labels of people; left out of the record if there is none."""
    new_groups: tuple[str, ...] = ()
    """Groups that no version before had; left out of the record if there is none."""


@dataclass(frozen=True)
class TranscriptLanguage:
    """The language of transcripts and the rule that gave them their form; empty for English, the default."""

    code: str = ""
    """As in `elp.yaml`, such as ``ja``."""
    normaliser: NormaliserId | None = None

    def __str__(self) -> str:
        rule = f", normaliser {normaliser_text(self.normaliser)}" if self.normaliser else ""
        return f"{self.code}{rule}" if self.code else "English"


@dataclass(frozen=True)
class DatasetVersion:
    """One version of a slot's data, as `dataset.json` records it."""

    slot: Slot
    version: int
    tag: str
    dvc_hash: str
    """DVC's hash of the shards: two versions with the same hash hold the same clips."""
    clips: int
    seconds: Seconds
    speakers: int
    splits: Mapping[str, int]
    """Clips by split."""
    split_seconds: Mapping[str, float]
    conditions: Mapping[str, int]
    """Clips by recording condition."""
    quarantined: int
    """Clips in quarantine, of all deliveries."""
    quarantine: Mapping[str, int]
    """The same by reason."""
    golden: str
    """Tag of the golden set in force; empty before the first test clip."""
    created: str
    """UTC, ISO 8601."""
    closed_set: bool
    """True if splits share speakers: every table made from this version says so."""
    shards: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    """Oldest first."""
    validation: ValidationSummary
    """Outcome of the checks of the newest delivery."""
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Clips by label, for each split; empty if the task needs no labels."""
    withdrawn: tuple[str, ...] = ()
    """Ids of clips that were dropped for good: intake leaves them out, whichever delivery contains them."""
    corrected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Digests of the words that corrected clips had before, by clip id: a delivery with such words is no conflict."""
    language: TranscriptLanguage = field(default_factory=TranscriptLanguage)
    units: Mapping[str, Any] = field(default_factory=dict)
    """What a head writes, in the order of its outputs (`Units.to_json`); empty for English letters, the default. Later
    versions append to it; the order never changes."""
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Clips by value, for each key of groups, and no speaker. Left out of the record if there is none."""
    doubtful_names: Mapping[str, int] = field(default_factory=dict)
    """Number of names that look like another name or like a missing value, by kind. Git keeps this record for ever, so
    the names are not in it; see `name_warnings`. Left out of the record if there is none."""
    teachers: tuple[str, ...] = ()
    """Digests of the bundles that labelled clips of this version (`Clip.teacher`), sorted. Left out of the record if
    there is none, as are the two fields below."""
    taught_clips: int = 0
    """Clips with a pseudo-label; all are training clips."""
    taught_seconds: Seconds = 0.0
    revision: str = ""
    """Git commit, known from the tag; the record itself cannot contain it."""

    @property
    def name(self) -> str:
        """Return the short name, such as ``v3``."""
        return f"v{self.version}"

    @property
    def delivery_keys(self) -> list[str]:
        """Return the keys of the deliveries that bring nothing new.

        These are the ones since a dropped clip was last readmitted; of those with pseudo-labels, since some were last
        dropped.
        """
        last, dropped = (
            max((one.version for one in self.deliveries if one.importer == what), default=0)
            for what in (READMIT, DROP_TAUGHT)
        )
        return [one.key for one in self.deliveries if one.version > (max(last, dropped) if one.teacher else last)]


@dataclass(frozen=True)
class PinnedTrials:
    """The list of verification trials that is pinned with a golden set."""

    name: str
    """Of the list, such as ``VoxCeleb1-O (veri_test2.txt)``."""
    digest: str
    """``sha256:…`` of the trials, see `TrialList.digest`."""
    count: int
    left_out: int
    """Trials of the list whose clips are not in the golden set, such as those in quarantine."""

    def __str__(self) -> str:
        return f"{self.name}: {self.count:,} trials" + (f", {self.left_out:,} left out" if self.left_out else "")


@dataclass(frozen=True)
class GoldenRef:
    """A pinned golden set, as `golden.json` records it."""

    slot: Slot
    version: int
    tag: str
    digest: str
    """SHA-256 of the sorted clip ids."""
    dvc_hash: str
    clips: int
    seconds: Seconds
    speakers: int
    conditions: Mapping[str, int]
    source_tag: str
    """Dataset version whose test split it was made from."""
    created: str
    closed_set: bool
    words: str = ""
    """SHA-256 of the clips' words, set if they were corrected or normalised again: the digest of the ids stays then."""
    language: TranscriptLanguage = field(default_factory=TranscriptLanguage)
    protocol: str = ""
    """Published evaluation protocol that the data follows. Left out of the record if it is empty."""
    trials: PinnedTrials | None = None
    """The trials that verification is judged on; None if all pairs are. Left out of the record then."""
    revision: str = ""

    @property
    def evaluation(self) -> str:
        """Return the protocol and the list of trials in words; empty if none was published."""
        return "; ".join(filter(None, (self.protocol, str(self.trials or ""))))


RECORD_FILES: dict[type, str] = {DatasetVersion: DATASET_FILE, GoldenRef: GOLDEN_FILE}
Record = TypeVar("Record", DatasetVersion, GoldenRef)


@dataclass(frozen=True)
class GoldenSet:
    """A golden set with its clips."""

    tag: str
    digest: str
    clips: list[Clip] = field(repr=False)
    trials: "TrialList | None" = None
    """The trials that verification is judged on; None if all pairs are."""


def utc_seconds() -> str:
    """Return the current UTC time to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def protocols(deliveries: Iterable[Delivery]) -> str:
    """Return the published protocols that deliveries follow, each once; empty if there is none."""
    return "; ".join(dict.fromkeys(delivery.protocol for delivery in deliveries if delivery.protocol))


def renormalised(deliveries: Iterable[Delivery]) -> bool:
    """Return whether transcripts may differ from those that the deliveries brought."""
    return any(delivery.importer == RENORMALISE for delivery in deliveries)


def record_text(record: DatasetVersion | GoldenRef) -> str:
    """Return the JSON text of a record, without its revision."""
    # the first release wrote the slot as SITE/TASK, and to_dict would write its two fields
    values = to_dict(record) | {"slot": str(record.slot), "format": FORMAT}
    values.pop("revision")
    # the records of older releases, and those of English, have no such fields
    if record.language == TranscriptLanguage():
        del values["language"]
    if isinstance(record, DatasetVersion) and not record.units:
        del values["units"]
    for delivery in values.get("deliveries", ()):
        for name in _LEFT_OUT:
            if not delivery[name]:
                del delivery[name]
    taught = ("teachers", "taught_clips", "taught_seconds")
    for name in ("doubtful_names", "corrected", "groups", "words", "protocol", "trials", *taught):
        if not values.get(name):
            values.pop(name, None)
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def parse_record(kind: type[Record], text: str) -> Record:
    """Return the record, without its revision, from a text of `record_text`; raise VersioningError for another text."""
    name = RECORD_FILES[kind]
    try:
        values = json.loads(text)
        written = values.pop("format")
        values["slot"] = dataclasses.asdict(Slot.parse(values["slot"]))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise VersioningError(
            f"{name} is not a record of this program: {shape_fault(error)}; restore it from Git"
        ) from error
    if written != FORMAT:
        raise VersioningError(
            f"{name} has format {written}, this program reads {FORMAT}; use the version that wrote it"
        )
    try:
        return from_dict(kind, values, name)
    except ConfigError as error:
        raise VersioningError(f"{error}; restore it from Git") from error


def metafiles(slot: Slot) -> tuple[Path, ...]:
    """Return every file of the slot that Git keeps, relative to the workspace."""
    tracked = (f"{SHARDS}.dvc", f"{QUARANTINE}.dvc", f"{GOLDEN}.dvc")
    names = (*tracked, ".gitignore", DATASET_FILE, GOLDEN_FILE, TRIALS_FILE)
    return tuple(slot.folder / name for name in names)
