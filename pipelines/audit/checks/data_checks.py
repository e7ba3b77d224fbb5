"""The data: tags and commits of Git, listing and shards from the DVC remote, every clip's id from its sound."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elp_core.audio import clip_id, load
from elp_core.errors import AudioError
from pipelines.audit.checks.statement_checks import plain_md5
from pipelines.audit.data_index import LEARNING
from pipelines.audit.facts import Fact, compared
from pipelines.audit.server_index import named
from pipelines.datasets.dataset_version import GOLDEN, SHARDS
from pipelines.datasets.dvc import metafile, tracked_hash
from pipelines.datasets.dvc_remote import DvcRemote, dvc_remote
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement

Log = Callable[[str], None]
_SHOWN = 5


@dataclass(frozen=True)
class Heard:
    """The clips of a folder, as its files give them now."""

    facts: tuple[Fact, ...]
    """One for each file."""
    ids: dict[str, str]
    """Split by clip id."""

    @property
    def whole(self) -> bool:
        """Whether every file was read and is what it should be."""
        return all(fact.state == "ok" for fact in self.facts)


def check_data(root: Path, slot: Slot, signed: LineageStatement, log: Log) -> dict[str, tuple[Fact, ...]]:
    """Facts for the branches ``dataset`` and ``golden set``."""
    tag, golden = signed.dataset, str(signed.asked.get("golden", ""))
    commit = named(signed, "dataset", "gitCommit")
    there = git.resolve(root, f"refs/tags/{tag}")
    if not there:
        return {"dataset": (Fact("in Git", tag, "unchecked", f"{root} has no such tag; verify in its own workspace"),)}
    tagged = compared("tag points to", commit, there, "Git")
    tracked = tracked_hash(git.show(root, commit, metafile(slot.folder / SHARDS)))
    hashes = compared("tracked at the commit", plain_md5(named(signed, "dataset", "dvcMd5")), plain_md5(tracked), "Git")
    try:
        with dvc_remote(root, remote_only=True) as remote:
            shards = _listen(remote, tracked, f"{tag}: shard", log)
            pinned = tracked_hash(git.show(root, commit, metafile(slot.folder / GOLDEN))) if golden else ""
            kept = _listen(remote, pinned, f"{golden}: file", log) if pinned else Heard((), {})
    except VersioningError as error:
        return {"dataset": (tagged, hashes, Fact("DVC remote", tracked, "unchecked", str(error)))}
    used = [clip for clip, split in shards.ids.items() if split in LEARNING and clip not in kept.ids]
    clips = _clips(signed, used, whole=shards.whole and kept.whole)
    return {
        "dataset": (tagged, hashes, Fact("DVC remote", tracked, "", "", shards.facts), clips),
        "golden set": _golden(root, golden, commit, signed, kept),
    }


def _clips(signed: LineageStatement, used: list[str], *, whole: bool) -> Fact:
    recorded = "sha256:" + named(signed, "clips", "elpIds")
    if not whole:
        return Fact("clips used", recorded, "unchecked", "not every file of the data could be read")
    return compared("clips used", recorded, ids_digest(used), f"the DVC remote ({len(used)} clips)")


def _golden(root: Path, tag: str, commit: str, signed: LineageStatement, kept: Heard) -> tuple[Fact, ...]:
    if not tag:
        return ()
    recorded = "sha256:" + named(signed, "golden", "elpIds")
    there = git.resolve(root, f"refs/tags/{tag}")
    tagged = Fact("in Git", tag, "ok") if there else Fact("in Git", tag, "mismatch", "there is no such tag")
    if not kept.whole or not kept.facts:
        why = f"not every file of it could be read at {commit[:12]}"
        return tagged, Fact("clips", recorded, "unchecked", why, kept.facts)
    return tagged, compared("clips", recorded, ids_digest(kept.ids), "the DVC remote", kept.facts)


def _listen(remote: DvcRemote, tracked: str, what: str, log: Log) -> Heard:
    """Read every file of a tracked folder from the remote."""
    if not tracked:
        raise VersioningError("the folder is not tracked at the commit")
    if wrong := _altered_listing(remote, tracked):
        return Heard((wrong,), {})
    listing = remote.listing(tracked)
    facts: list[Fact] = []
    ids: dict[str, str] = {}
    for number, (name, md5) in enumerate(sorted(listing.items()), 1):
        log(f"{what} {number} of {len(listing)}")
        with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
            facts.append(_file(remote, name, md5, Path(scratch) / name, ids))
    return Heard(tuple(facts), ids)


def _altered_listing(remote: DvcRemote, tracked: str) -> Fact | None:
    """The fact that a folder's listing is not what its hash says, or None."""
    name = tracked.removeprefix("md5:")
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        found = remote.copy(name, Path(scratch) / "listing").md5
    if f"{found}.dir" == name:
        return None
    return Fact("listing", name, "mismatch", f"the remote has the MD5 {found}: somebody changed it")


def _file(remote: DvcRemote, name: str, md5: str, place: Path, ids: dict[str, str]) -> Fact:
    try:
        found = remote.copy(md5, place)
    except VersioningError as error:
        return Fact("file", name, "unchecked", str(error))
    if found.md5 != md5:
        return Fact("file", name, "mismatch", f"the remote has the MD5 {found.md5}, tracked is {md5}")
    if found.sha256[:16] != place.stem:
        return Fact("file", name, "mismatch", f"it hashes to {found.sha256}, its name says {place.stem}")
    wrong = []
    for clip, sound, split in _rows(place):
        ids[clip] = split
        try:
            heard = clip_id(load(sound))
        except AudioError as error:
            heard = str(error)
        if heard != clip:
            wrong.append(Fact("clip", clip, "mismatch", f"its sound has the id {heard}"))
    if wrong:
        return Fact("file", name, "mismatch", f"{len(wrong)} clips sound otherwise", tuple(wrong[:_SHOWN]))
    return Fact("file", name, "ok", f"md5:{md5}, every clip heard again")


def _rows(place: Path) -> Iterator[tuple[str, bytes, str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(place) as shard:
        for batch in shard.iter_batches(batch_size=256, columns=["id", "audio.bytes", "split"]):
            columns = batch.to_pydict()
            sounds = columns["audio"]
            for clip, sound, split in zip(columns["id"], sounds, columns["split"], strict=True):
                yield clip, sound["bytes"], split
