"""Check the data: Git tags and commits, listing and shards from the DVC remote, every clip's id from its sound."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from elp_core.audio import clip_id, load
from elp_core.errors import AudioError
from pipelines.audit.audit_phrases import clips_text
from pipelines.audit.checks.statement_checks import plain_md5
from pipelines.audit.data_index import LEARNING
from pipelines.audit.facts import Fact, compared
from pipelines.datasets.dataset_version import GOLDEN, SHARDS
from pipelines.datasets.dvc import DvcRemote, dvc_remote, metafile, tracked_hash
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement
from pipelines.texts.english_phrases import Phrase, phrase

Log = Callable[[str], None]
_SHOWN = 5


@dataclass(frozen=True)
class ReadFolder:
    """The clips of a folder, read from the DVC remote."""

    facts: tuple[Fact, ...]
    """One for each file."""
    ids: dict[str, str]
    """The split of each clip, by its id."""

    @property
    def whole(self) -> bool:
        """Whether every file was read and verified."""
        return all(fact.state == "verified" for fact in self.facts)


def check_data(
    root: Path, slot: Slot, signed: LineageStatement, log: Log, deleted: Mapping[str, int] | None = None
) -> dict[str, tuple[Fact, ...]]:
    """Return facts for the branches ``dataset`` and ``golden set``.

    `deleted` are the files that were deleted by policy: the ledger entry by MD5. That they are gone is no fault.
    """
    by_policy = {md5: _by_policy(seq) for md5, seq in (deleted or {}).items()}
    tag, golden = signed.dataset, signed.golden
    commit = signed.digest_of("dataset", "gitCommit")
    # by the full name, because Git finds branches by a short one too
    tag_commit = git.resolve(root, f"refs/tags/{tag}")
    if not tag_commit:
        why = phrase("%(folder)s has no such tag; verify in its own workspace", folder=root)
        return {"dataset": (Fact(phrase("in Git"), tag, "not verified", why),)}
    tagged = compared(phrase("tag points to"), commit, tag_commit, "Git")
    tracked = tracked_hash(git.show(root, commit, metafile(slot.folder / SHARDS)))
    signed_hash = plain_md5(signed.digest_of("dataset", "dvcMd5"))
    hashes = compared(phrase("tracked at the commit"), signed_hash, plain_md5(tracked), "Git")
    stored, used_clips = phrase("DVC remote"), phrase("clips used")
    try:
        # the remote only: a local cache may be whole while the remote is not
        with dvc_remote(root, remote_only=True) as remote:
            shards = _read_folder(remote, tracked, f"{tag}: shard", log, by_policy)
            pinned = tracked_hash(git.show(root, commit, metafile(slot.folder / GOLDEN))) if golden else ""
            kept = _read_folder(remote, pinned, f"{golden}: file", log, by_policy) if pinned else ReadFolder((), {})
    except VersioningError as error:
        return {"dataset": (tagged, hashes, Fact(stored, tracked, "not verified", str(error)))}
    used = [clip for clip, split in shards.ids.items() if split in LEARNING and clip not in kept.ids]
    recorded = "sha256:" + signed.digest_of("clips", "elpIds")
    clips = Fact(used_clips, recorded, "not verified", phrase("not every file of the data could be read"))
    gone = next((fact.note for fact in shards.facts if not fact.state), "")
    if gone:
        clips = Fact(used_clips, recorded, "", gone)
    elif shards.whole and kept.whole:
        source = phrase("the DVC remote (%(clips)s)", clips=clips_text(len(used)))
        clips = compared(used_clips, recorded, ids_digest(used), source)
    return {
        "dataset": (tagged, hashes, Fact(stored, tracked, "", "", shards.facts), clips),
        "golden set": _golden(root, golden, commit, signed, kept),
    }


def _by_policy(seq: int) -> Phrase:
    return phrase("deleted by policy, entry %(entry)s", entry=seq)


def _golden(root: Path, tag: str, commit: str, signed: LineageStatement, kept: ReadFolder) -> tuple[Fact, ...]:
    if not tag:
        return ()
    recorded = "sha256:" + signed.digest_of("golden", "elpIds")
    there = git.resolve(root, f"refs/tags/{tag}")
    name = phrase("in Git")
    tagged = Fact(name, tag, "verified") if there else Fact(name, tag, "failed", phrase("there is no such tag"))
    if not kept.whole or not kept.facts:
        why = phrase("not every file of it could be read at %(commit)s", commit=commit[:12])
        return tagged, Fact(phrase("clips"), recorded, "not verified", why, kept.facts)
    return tagged, compared(phrase("clips"), recorded, ids_digest(kept.ids), phrase("the DVC remote"), kept.facts)


def _read_folder(remote: DvcRemote, tracked: str, what: str, log: Log, by_policy: Mapping[str, str]) -> ReadFolder:
    """Read every file of a tracked folder from the remote."""
    if not tracked:
        raise VersioningError("the folder is not tracked at the commit")
    name = tracked.removeprefix("md5:")
    if name in by_policy and not remote.holds(name):
        return ReadFolder((Fact(phrase("listing"), name, "", by_policy[name]),), {})
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        found = remote.copy(name, Path(scratch) / "listing").md5
    if f"{found}.dir" != name:
        changed = phrase("the remote has the MD5 %(found)s: it was changed", found=found)
        return ReadFolder((Fact(phrase("listing"), name, "failed", changed),), {})
    listing = remote.listing(tracked)
    facts: list[Fact] = []
    ids: dict[str, str] = {}
    for number, (name, md5) in enumerate(sorted(listing.items()), 1):
        log(f"{what} {number} of {len(listing)}")
        with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
            facts.append(_file(remote, name, md5, Path(scratch) / name, ids, by_policy))
    return ReadFolder(tuple(facts), ids)


def _file(
    remote: DvcRemote, name: str, md5: str, place: Path, ids: dict[str, str], by_policy: Mapping[str, str]
) -> Fact:
    title = phrase("file")
    if md5 in by_policy and not remote.holds(md5):
        return Fact(title, name, "", by_policy[md5])
    try:
        found = remote.copy(md5, place)
    except VersioningError as error:
        return Fact(title, name, "not verified", str(error))
    if found.md5 != md5:
        other = phrase("the remote has the MD5 %(found)s, tracked is %(tracked)s", found=found.md5, tracked=md5)
        return Fact(title, name, "failed", other)
    # two files can be made with one MD5, so the SHA-256 in the name is compared too
    if found.sha256[:16] != place.stem:
        other = phrase("its SHA-256 is %(found)s, its name says %(name)s", found=found.sha256, name=place.stem)
        return Fact(title, name, "failed", other)
    wrong = []
    for clip, sound, split in _rows(place):
        ids[clip] = split
        try:
            sounds_like = clip_id(load(sound))
        except AudioError as error:
            sounds_like = str(error)
        if sounds_like != clip:
            wrong.append(Fact(phrase("clip"), clip, "failed", phrase("its sound has the id %(id)s", id=sounds_like)))
    if wrong:
        changed = phrase("the sound of %(clips)s has another id", clips=clips_text(len(wrong)))
        return Fact(title, name, "failed", changed, tuple(wrong[:_SHOWN]))
    return Fact(title, name, "verified", phrase("md5:%(md5)s, the id of every clip computed again", md5=md5))


def _rows(place: Path) -> Iterator[tuple[str, bytes, str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(place) as shard:
        # in batches, because the audio of a whole shard may be larger than the memory
        for batch in shard.iter_batches(batch_size=256, columns=["id", "audio.bytes", "split"]):
            for row in batch.to_pylist():
                yield row["id"], row["audio"]["bytes"], row["split"]
