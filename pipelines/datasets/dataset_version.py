"""What Git keeps of a slot's data: the record of each dataset version and of each golden set."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from elp_core.types import Clip, Seconds
from pipelines.errors import VersioningError
from pipelines.registry.slot import Slot

FORMAT = 1
DATASET_FILE = "dataset.json"
GOLDEN_FILE = "golden.json"
SHARDS, QUARANTINE, GOLDEN = "shards", "quarantine", "golden"
"""Folders of a slot, each tracked by DVC."""


@dataclass(frozen=True)
class DatasetVersion:
    """One version of a slot's data, as `dataset.json` tells it."""

    slot: Slot
    version: int
    tag: str
    dvc_hash: str
    """DVC's hash of the shards: two versions with the same one hold the same clips."""
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
    """Tag of the golden set in force; empty where no test clip has come yet."""
    created: str
    """UTC, ISO 8601."""
    closed_set: bool
    """Whether splits share speakers: every table made from this version says so."""
    shards: tuple[str, ...]
    deliveries: tuple[Mapping[str, Any], ...]
    """What came in, oldest first: key, source, importer, options, clips, seconds, quarantined, repeats, version."""
    validation: Mapping[str, Any]
    """Outcome of the checks of the newest delivery."""
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Clips by label, for each split; empty where the task needs no labels."""
    withdrawn: tuple[str, ...] = ()
    """Ids of clips that were dropped for good: intake leaves them out, whatever delivery brings them again."""
    revision: str = ""
    """Git commit; known from the tag, not written in the record itself."""

    @property
    def name(self) -> str:
        """Such as ``v3``."""
        return f"v{self.version}"


@dataclass(frozen=True)
class GoldenRef:
    """A pinned golden set, as `golden.json` tells it."""

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
    revision: str = ""


@dataclass(frozen=True)
class GoldenSet:
    """A golden set with its clips."""

    tag: str
    digest: str
    clips: list[Clip] = field(repr=False)


def record_text(record: DatasetVersion | GoldenRef) -> str:
    """The JSON text of a record, without its revision."""
    values = to_dict(record) | {"slot": str(record.slot), "format": FORMAT}
    values.pop("revision")
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_version(text: str, revision: str = "") -> DatasetVersion:
    """The inverse of `record_text`.

    Raises:
        VersioningError: where the text is no such record, or of a later format.
    """
    record: DatasetVersion = _read(DatasetVersion, text, DATASET_FILE)
    return dataclasses.replace(record, revision=revision)


def read_golden(text: str, revision: str = "") -> GoldenRef:
    """The inverse of `record_text`.

    Raises:
        VersioningError: where the text is no such record, or of a later format.
    """
    record: GoldenRef = _read(GoldenRef, text, GOLDEN_FILE)
    return dataclasses.replace(record, revision=revision)


def _read(kind: Any, text: str, where: str) -> Any:
    try:
        values = json.loads(text)
        written = values.pop("format")
        values["slot"] = dataclasses.asdict(Slot.parse(values["slot"]))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise VersioningError(f"{where} is no record of this program: {error!r}; restore it from Git") from error
    if written != FORMAT:
        raise VersioningError(
            f"{where} has format {written}, this program reads {FORMAT}; use the program that wrote it"
        )
    try:
        return from_dict(kind, values, where)
    except ConfigError as error:
        raise VersioningError(f"{error}; restore it from Git") from error


def metafiles(slot: Slot) -> tuple[Path, ...]:
    """Every file of the slot that Git keeps, relative to the workspace."""
    names = (f"{SHARDS}.dvc", f"{QUARANTINE}.dvc", f"{GOLDEN}.dvc", ".gitignore", DATASET_FILE, GOLDEN_FILE)
    return tuple(slot.folder / name for name in names)
