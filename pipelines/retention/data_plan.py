"""The files of the DVC remote: kept or removed, and why. Pure, but for `read_stored`, which lists the remote.

A file is kept if anything that is kept names it, or if it is younger than the grace: a push that is in flight names its
files only when it ends. Everything else goes, if the remote is declared to be this repository's alone or the others are
named.
"""

import itertools
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.datasets.dvc import DvcRemote
from pipelines.errors import VersioningError
from pipelines.registry.retention import KeepDecision, RetentionPolicy
from pipelines.retention.named_data import TaggedData

_OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class RemoteFile:
    """A file of the DVC remote."""

    md5: str
    """With ``.dir`` for the listing of a folder."""
    bytes: int
    at: datetime | None
    """When it was written; None if the storage does not say."""

    def is_young(self, policy: RetentionPolicy, now: datetime) -> bool:
        """Return whether it may belong to a push that is in flight."""
        return self.at is None or now - self.at < policy.grace


@dataclass(frozen=True)
class DataPlan:
    """What happens to the data."""

    versions: Mapping[str, KeepDecision]
    """By tag: dataset versions and golden sets."""
    bytes: Mapping[str, int]
    """Bytes of each of them, files that it shares with others included."""
    removed: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the files that go, by MD5."""
    freed: Mapping[str, int] = field(default_factory=dict)
    """Bytes that the removal of each version frees: of the files that only it names."""
    unnamed: int = 0
    """Bytes of the files that go and that no version names."""
    young: int = 0
    """Bytes of the files that nothing names and that are in their grace."""
    held: int = 0
    """Bytes of the files that nothing but a hold on a speaker keeps."""
    kept: frozenset[str] = frozenset()
    """Files that something kept names, whether the remote has them or not."""
    erased: frozenset[str] = frozenset()
    """Files that go for an erasure, whatever names them."""
    on_hold: frozenset[str] = frozenset()
    """Files that a hold keeps: they come back from the trash even after an erasure."""
    blocked: str = ""
    """Why no data is removed; empty if it may be."""
    foreign: str = ""
    """How many files of the trash are in no entry of this ledger, and where; empty if there is none."""


def decide_versions(
    tagged: Iterable[TaggedData], reasons: Mapping[str, str], policy: RetentionPolicy, now: datetime
) -> dict[str, KeepDecision]:
    """Decide on dataset versions and golden sets; `reasons` say by tag what else keeps a dataset version."""
    every = sorted(tagged, key=lambda one: (str(one.slot), one.kind, one.number))
    pairs = itertools.pairwise(every)
    following = {old.tag: new for old, new in pairs if (old.slot, old.kind) == (new.slot, new.kind)}
    found = {}
    for one in every:
        # the grace begins when a newer version arrives: until then, a training is queued on this one. The two may be
        # of machines with different clocks
        age = now - max(datetime.fromisoformat(each.made) for each in (one, following.get(one.tag, one)))
        if one.kind == "golden":
            found[one.tag] = KeepDecision(True, "golden set")
        elif one.tag not in following:
            found[one.tag] = KeepDecision(True, "newest of the slot")
        elif one.tag in reasons:
            found[one.tag] = KeepDecision(True, reasons[one.tag])
        elif age < policy.grace:
            left = (policy.grace - age).total_seconds() / 86_400
            found[one.tag] = KeepDecision(True, f"in its grace for {left:.1f} more days")
        else:
            found[one.tag] = KeepDecision(False, "nothing that is kept was trained on it")
    return found


def decide_files(
    stored: Mapping[str, RemoteFile],
    versions: Mapping[str, KeepDecision],
    holding: Mapping[str, frozenset[str]],
    named: frozenset[str],
    held: frozenset[str],
    erased: frozenset[str],
    policy: RetentionPolicy,
    now: datetime,
) -> DataPlan:
    """Decide on the files of the remote.

    Args:
        stored: The files, by MD5.
        versions: The decision on each version, by tag.
        holding: Files of each version, listings included, by tag.
        named: Files that something else names: branches, other repositories.
        held: Files with recordings of a speaker who is held.
        erased: Files that go for an erasure, whatever names them.
        policy: Of the workspace.
        now: The time of the plan.
    """
    kept = set(named).union(*(holding[tag] for tag, decision in versions.items() if decision.keep))
    removed, young, spared = dict[str, int](), 0, 0
    for md5, file in stored.items():
        if md5 in erased:
            removed[md5] = file.bytes
        elif md5 in kept:
            continue
        elif md5 in held:
            spared += file.bytes
        elif file.is_young(policy, now):
            young += file.bytes
        else:
            removed[md5] = file.bytes
    sizes = {md5: file.bytes for md5, file in stored.items()}
    freed, named_once = dict[str, int](), dict[str, int]()
    for tag in versions:
        for md5 in holding[tag]:
            named_once[md5] = named_once.get(md5, 0) + 1
    for tag in versions:
        freed[tag] = sum(removed[md5] for md5 in holding[tag] if md5 in removed and named_once[md5] == 1)
    unnamed = sum(size for md5, size in removed.items() if md5 not in named_once)
    totals = {tag: sum(sizes.get(md5, 0) for md5 in holding[tag]) for tag in versions}
    return DataPlan(versions, totals, removed, freed, unnamed, young, spared, frozenset(kept | held) - erased, erased)


def list_files(stored: DvcRemote, folder: str) -> Mapping[str, Mapping[str, Any]]:
    """Return what the storage of the remote says about each file below a folder, by path."""
    fs = stored.remote.fs
    try:
        if fs.protocol != "local":
            # below DVC's own file system, which returns paths without their sizes
            found: Mapping[str, Mapping[str, Any]] = fs.fs.find(folder, detail=True)
            return found
        places = ((place, Path(place).stat()) for place in fs.find(folder))
        return {place: {"size": stat.st_size, "mtime": stat.st_mtime} for place, stat in places}
    except FileNotFoundError:
        return {}
    except Exception as error:
        # each kind of storage has its own error classes
        raise VersioningError(f"the DVC remote {stored.address} cannot be listed: {error}") from error


def read_stored(stored: DvcRemote) -> dict[str, RemoteFile]:
    """Return every file of the remote; raise VersioningError if the remote does not answer or is not there."""
    stored.require_there()
    found = dict[str, RemoteFile]()
    for path, about in list_files(stored, str(stored.remote.path)).items():
        folder, name = posixpath.split(path.replace("\\", "/"))
        md5 = posixpath.basename(folder) + name
        # a file that is being written has another name
        if _OBJECT.fullmatch(md5):
            found[md5] = RemoteFile(md5, int(about.get("size") or 0), _written(about))
    return found


def cached_files(stored: DvcRemote) -> frozenset[str]:
    """Return the MD5 of every file of DVC's cache on this machine, listings included."""
    places = Path(stored.cache.path).glob("??/*") if stored.cache else ()
    return frozenset(md5 for one in places if _OBJECT.fullmatch(md5 := one.parent.name + one.name))


def _written(about: Mapping[str, Any]) -> datetime | None:
    """Return when a file was written, as the storage says it: as a number, or as a moment."""
    value = about.get("mtime") or about.get("LastModified") or about.get("last_modified")
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return None
