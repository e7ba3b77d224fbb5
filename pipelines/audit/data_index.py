"""The index of a workspace's data: which version holds which files, and which clips and speakers are in a file.

Files of DVC never change, so each is read once, and of a shard only the columns without audio. What the tags of Git
say decides; an index brought up to date step by step equals one made anew.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.datasets.dataset_version import DATASET_FILE, GOLDEN, GOLDEN_FILE, QUARANTINE, SHARDS
from pipelines.datasets.dvc import metafile, tracked_hash
from pipelines.datasets.dvc_remote import DvcRemote, dvc_remote
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot

Log = Callable[[str], None]
LEARNING = ("train", "validation")
"""Splits that shape an adapter: weights are fitted on the first; the second chooses the epoch and the threshold."""
_FOLDERS = {"data": (SHARDS, QUARANTINE), "golden": (GOLDEN,)}
_RECORDS = {"data": DATASET_FILE, "golden": GOLDEN_FILE}


@dataclass(frozen=True)
class Tagged:
    """A version by its tag ``<kind>/<site>/<task>/v<number>``."""

    slot: Slot
    kind: str
    version: int
    tag: str
    revision: str


def sync(db: sqlite3.Connection, workspace: Workspace, log: Log) -> None:
    """Bring the index up to date with the workspace's tags. A version whose files are gone is noted as a gap."""
    there = _tags(workspace.root)
    known = {row[0]: row[1] for row in db.execute("SELECT tag, revision FROM release")}
    if {one.tag: one.revision for one in there} == known:
        return
    by_slot: dict[tuple[Slot, str], list[Tagged]] = {}
    for one in there:
        by_slot.setdefault((one.slot, one.kind), []).append(one)
    for slot, kind in {(Slot(*s.split("/")), k) for s, k in db.execute("SELECT DISTINCT slot, kind FROM release")}:
        by_slot.setdefault((slot, kind), [])
    with dvc_remote(workspace.root) as stored:
        for (slot, kind), tagged in sorted(by_slot.items(), key=str):
            _sync_slot(db, workspace.root, stored, slot, kind, sorted(tagged, key=lambda one: one.version), log)


def note_used(db: sqlite3.Connection) -> None:
    """Work out, once for each dataset version that an adapter names, the digest of the clips that training on it uses.

    Training takes both learning splits less the golden set in force, as `pipelines.datasets.versions.load_split` reads
    them. A version with a gap has no digest.
    """
    wanted = db.execute(
        """SELECT DISTINCT r.slot, r.version, r.golden FROM adapter a JOIN release r ON r.tag = a.dataset
        LEFT JOIN used u ON u.slot = r.slot AND u.version = r.version
        WHERE u.digest IS NULL AND r.tag NOT IN (SELECT tag FROM gap)"""
    )
    for slot, version, golden in wanted.fetchall():
        rows = db.execute(
            f"""SELECT c.id FROM span s JOIN clip c ON c.file = s.file
            WHERE s.slot = :slot AND s.folder = 'shards' AND :version BETWEEN s.first AND s.last
                AND c.split IN {LEARNING}
            EXCEPT
            SELECT c.id FROM release g JOIN span s ON s.slot = g.slot AND s.folder = 'golden'
                AND g.version BETWEEN s.first AND s.last
            JOIN clip c ON c.file = s.file WHERE g.tag = :golden""",
            {"slot": slot, "version": version, "golden": golden},
        )
        digest = ids_digest(row[0].hex() for row in rows)
        db.execute("INSERT INTO used VALUES (?, ?, ?)", (slot, version, digest))


def _tags(root: Path) -> list[Tagged]:
    found = []
    for kind in _FOLDERS:
        for tag, revision in git.tags(root, kind).items():
            parts = tag.split("/")
            if len(parts) == 4 and parts[3][:1] == "v" and parts[3][1:].isdigit():
                found.append(Tagged(Slot(*parts[1:3]), kind, int(parts[3][1:]), tag, revision))
    return found


def _sync_slot(
    db: sqlite3.Connection, root: Path, stored: DvcRemote, slot: Slot, kind: str, tagged: Sequence[Tagged], log: Log
) -> None:
    where = (str(slot), kind)
    known = dict(db.execute("SELECT tag, revision FROM release WHERE slot = ? AND kind = ?", where))
    here = {one.tag: one.revision for one in tagged}
    fresh = [one for one in tagged if one.tag not in known]
    newest = max((one.version for one in tagged if one.tag in known), default=0)
    if any(here.get(tag) != revision for tag, revision in known.items()) or any(v.version < newest for v in fresh):
        # a tag was moved, taken away or set between two others: the spans of this slot are counted again
        db.execute("DELETE FROM release WHERE slot = ? AND kind = ?", where)
        for folder in _FOLDERS[kind]:
            db.execute("DELETE FROM span WHERE slot = ? AND folder = ?", (str(slot), folder))
        db.execute("DELETE FROM used WHERE slot = ?", (str(slot),))
        db.execute("DELETE FROM gap WHERE tag LIKE ?", (f"{kind}/{slot}/v%",))
        fresh, newest = list(tagged), 0
    if not fresh:
        return
    revisions = [one.revision for one in fresh]
    texts = git.show_all(root, revisions, slot.folder / _RECORDS[kind])
    hashes = {
        folder: [tracked_hash(text) for text in git.show_all(root, revisions, metafile(slot.folder / folder))]
        for folder in _FOLDERS[kind]
    }
    for position, (one, text) in enumerate(zip(fresh, texts, strict=True)):
        _add_release(db, one, text, hashes[_FOLDERS[kind][0]][position])
        for folder in _FOLDERS[kind]:
            _extend(db, stored, one, folder, hashes[folder][position], newest)
        newest = one.version
    log(f"indexed {fresh[0].tag}" + (f" to {fresh[-1].tag.rsplit('/', 1)[1]}" if len(fresh) > 1 else ""))


def _add_release(db: sqlite3.Connection, one: Tagged, text: str | None, folder: str) -> None:
    record: dict[str, Any] = json.loads(text) if text else {}
    values = (one.tag, one.revision, str(record.get("golden", "")), folder, str(record.get("created", "")))
    db.execute("INSERT INTO release VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (str(one.slot), one.kind, one.version, *values))


def _extend(db: sqlite3.Connection, stored: DvcRemote, one: Tagged, folder: str, tracked: str, before: int) -> None:
    """Make the files of a folder at a version part of the spans; `before` is the version that came before it."""
    where = (str(one.slot), folder, before)
    present = dict(db.execute("SELECT file, rowid FROM span WHERE slot = ? AND folder = ? AND last = ?", where))
    try:
        files = _files(db, stored, tracked)
    except VersioningError as error:
        # an erasure removes files of old versions for good; what they held can then not be told
        db.execute("INSERT OR REPLACE INTO gap VALUES (?, ?, ?)", (one.tag, folder, str(error)))
        return
    going_on = [(one.version, present[file]) for file in files if before and file in present]
    db.executemany("UPDATE span SET last = ? WHERE rowid = ?", going_on)
    added = [(str(one.slot), folder, file, one.version, one.version) for file in files if file not in present]
    db.executemany("INSERT INTO span VALUES (?, ?, ?, ?, ?)", added)


def _files(db: sqlite3.Connection, stored: DvcRemote, tracked: str) -> list[int]:
    """Numbers of a folder's files; those that are new are read."""
    if not tracked:
        return []
    listing = stored.listing(tracked)
    known = _known(db, listing)
    for name, md5 in listing.items():
        if md5 not in known:
            known[md5] = _read_file(db, stored, name, md5)
    return [known[md5] for md5 in listing.values()]


def _known(db: sqlite3.Connection, listing: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    wanted = list(listing.values())
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        marks = ", ".join("?" * len(some))
        found |= dict(db.execute(f"SELECT md5, id FROM file WHERE md5 IN ({marks})", some))
    return found


def _read_file(db: sqlite3.Connection, stored: DvcRemote, name: str, md5: str) -> int:
    import pyarrow.parquet as pq

    with stored.open(md5) as file:
        size = file.seek(0, 2)
        file.seek(0)
        parquet = pq.ParquetFile(file)
        wanted = ["id", "speaker", "split", "duration"] if "id" in parquet.schema_arrow.names else ["sha256", "speaker"]
        columns = parquet.read(columns=wanted).to_pydict()
    number = db.execute("INSERT INTO file (md5, name, bytes) VALUES (?, ?, ?)", (md5, name, size)).lastrowid
    assert number is not None
    db.executemany("INSERT INTO clip VALUES (?, ?, ?, ?, ?)", _rows(number, columns))
    return number


def _rows(number: int, columns: Mapping[str, list[Any]]) -> Iterable[tuple[int, bytes, str, str, float]]:
    ids = columns.get("id") or columns.get("sha256") or []
    splits, lengths = columns.get("split") or [QUARANTINE] * len(ids), columns.get("duration") or [0.0] * len(ids)
    for clip, speaker, split, seconds in zip(ids, columns["speaker"], splits, lengths, strict=True):
        yield number, bytes.fromhex(clip), speaker or "", split, seconds
