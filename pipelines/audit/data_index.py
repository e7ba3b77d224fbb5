"""The audit's index of the workspace's data: the files of each version, and the clips and speakers of each file.

It is one SQLite file in the cache; deleted, it is built again, and no verification trusts it. Files of DVC never
change, so each is read once, and of a shard only the columns without audio. Git's tags decide what the versions are;
an index that is updated step by step equals one that is built at once.
"""

import contextlib
import itertools
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipelines.datasets.dataset_version import DATASET_FILE, GOLDEN, GOLDEN_FILE, QUARANTINE, SHARDS
from pipelines.datasets.dvc import DvcRemote, dvc_remote, metafile, tracked_hash
from pipelines.errors import DataRemoteAway, VersioningError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.outages import read_faults
from pipelines.registry.lineage import ids_digest
from pipelines.registry.names import normal_name
from pipelines.registry.slot import Slot
from pipelines.sqlite_transaction import sqlite_transaction

Log = Callable[[str], None]
LEARNING = ("train", "validation")
"""Splits that an adapter is trained on: the first fits the weights, the second selects the epoch and the threshold."""
FOLDERS = {"data": (SHARDS, QUARANTINE), "golden": (GOLDEN,)}
"""Tracked folders by the kind of a version."""
FORMAT = 4
"""Format of the tables below; a file of another format is built again. Format 1 held the server's records, too; formats
1 and 2 had the names of speakers as they are stored, not their normal form; up to format 3 an outage made gaps."""
FILE = Path("cache") / "audit.db"
"""Below the workspace's state folder."""
_WAIT_SECONDS = 60.0
_MOST_VALUES = 500
_RECORDS = {"data": DATASET_FILE, "golden": GOLDEN_FILE}
_TABLES = """
CREATE TABLE release (           -- a dataset version or a golden set, as Git tags it
    slot TEXT, kind TEXT,        -- data | golden
    version INTEGER, tag TEXT, revision TEXT, golden TEXT, hash TEXT, created TEXT,
    PRIMARY KEY (slot, kind, version)) WITHOUT ROWID;
CREATE UNIQUE INDEX release_tag ON release (tag);
CREATE TABLE file (id INTEGER PRIMARY KEY, md5 TEXT UNIQUE, name TEXT, bytes INTEGER);
CREATE TABLE span (              -- versions first to last hold the file in this folder
    slot TEXT, folder TEXT,      -- shards, quarantine (by dataset version) | golden (by golden set)
    file INTEGER, first INTEGER, last INTEGER);
CREATE INDEX span_file ON span (file);
CREATE INDEX span_slot ON span (slot, folder, last);
CREATE TABLE clip (file INTEGER, id BLOB, speaker TEXT, split TEXT, seconds REAL);
CREATE INDEX clip_id ON clip (id);
CREATE INDEX clip_speaker ON clip (speaker);
CREATE INDEX clip_file ON clip (file);
CREATE TABLE gap (tag TEXT, folder TEXT, hash TEXT, reason TEXT, PRIMARY KEY (tag, folder)) WITHOUT ROWID;
CREATE TABLE used (              -- digest of the clips that training on a dataset version uses
    tag TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class TaggedVersion:
    """A dataset version or golden set by its tag ``<kind>/<site>/<task>/v<number>``."""

    slot: Slot
    kind: str
    version: int
    tag: str
    revision: str


@contextlib.contextmanager
def open_index(workspace: Workspace, log: Log) -> Iterator[sqlite3.Connection]:
    """Open the workspace's index, up to date with Git and the DVC remote."""
    with opened(workspace.state) as db:
        with sqlite_transaction(db):
            _update(db, workspace, log)
        yield db


@contextlib.contextmanager
def opened(state: Path) -> Iterator[sqlite3.Connection]:
    """Open the index below a workspace's state folder; create it if it is missing or of another format."""
    path = state / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    # without isolation_level=None Python begins transactions on its own
    with contextlib.closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as db:
        # a reader does not wait for the process that updates the index, and a lost index is built again
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        with sqlite_transaction(db):
            # read inside the transaction: another process may create the tables at this moment
            if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                _create(db)
        yield db


def _create(db: sqlite3.Connection) -> None:
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        db.execute(f"DROP TABLE {name}")
    # not executescript, which commits the transaction
    for statement in _TABLES.split(";\n"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def _update(db: sqlite3.Connection, workspace: Workspace, log: Log) -> None:
    """Update the index from the workspace's tags. A version whose files are gone is recorded as a gap.

    Raise DataRemoteAway, and change nothing, if the remote does not answer when something is read.
    """
    tags, gaps = _tags(workspace.root), db.execute("SELECT 1 FROM gap").fetchone()
    if not gaps and {one.tag: one.revision for one in tags} == dict(db.execute("SELECT tag, revision FROM release")):
        return
    by_slot: defaultdict[tuple[Slot, str], list[TaggedVersion]] = defaultdict(list)
    for one in tags:
        by_slot[one.slot, one.kind].append(one)
    for slot, kind in db.execute("SELECT DISTINCT slot, kind FROM release"):
        # a slot without tags any more keeps its place, so that its rows are deleted; an index may have a foreign tag
        by_slot[Slot(*slot.split("/")), kind] += []
    with dvc_remote(workspace.root) as stored:
        _find_healed(db, stored)
        for (slot, kind), tagged in sorted(by_slot.items(), key=str):
            _sync_slot(db, workspace.root, stored, slot, kind, sorted(tagged, key=lambda one: one.version), log)


def _find_healed(db: sqlite3.Connection, stored: DvcRemote) -> None:
    """Have the slots of gaps built again whose files are back: by a push, a restored remote or `elp gc undo`."""
    gaps = db.execute("SELECT tag, hash FROM gap").fetchall()
    # what cannot be read stays a gap, also during an outage
    with contextlib.suppress(VersioningError):
        gone = stored.missing({tracked.removeprefix("md5:") for _, tracked in gaps}) if gaps else ()
        for tag, tracked in gaps:
            if tracked.removeprefix("md5:") not in gone:
                with contextlib.suppress(VersioningError):
                    _files(db, stored, tracked)
                    # no commit has this name
                    db.execute("UPDATE release SET revision = '' WHERE tag = ?", (tag,))


def used_digests(db: sqlite3.Connection, tags: Iterable[str]) -> dict[str, str]:
    """Return, by tag of a dataset version, the digest of the clips that training on it uses.

    Training uses both learning splits without the golden set in force, as `pipelines.datasets.versions.load_split`
    reads them. A version that is not in the index, or has a gap, has no digest. Each digest is computed once and kept.
    """
    found = dict(db.execute("SELECT tag, digest FROM used"))
    unknown = dict(
        db.execute("SELECT tag, golden FROM release WHERE kind = 'data' AND tag NOT IN (SELECT tag FROM gap)")
    )
    fresh = [(tag, _used_digest(db, tag, unknown[tag])) for tag in tags if tag in unknown and tag not in found]
    db.executemany("INSERT OR REPLACE INTO used VALUES (?, ?)", fresh)
    return found | dict(fresh)


def _used_digest(db: sqlite3.Connection, tag: str, golden: str) -> str:
    rows = db.execute(
        f"""SELECT c.id FROM release r JOIN span s ON s.slot = r.slot AND s.folder = 'shards'
            AND r.version BETWEEN s.first AND s.last
        JOIN clip c ON c.file = s.file WHERE r.tag = ? AND c.split IN {LEARNING}
        EXCEPT
        SELECT c.id FROM release g JOIN span s ON s.slot = g.slot AND s.folder = 'golden'
            AND g.version BETWEEN s.first AND s.last
        JOIN clip c ON c.file = s.file WHERE g.tag = ?""",
        (tag, golden),
    )
    return ids_digest(row[0].hex() for row in rows)


def _tags(root: Path) -> list[TaggedVersion]:
    found = []
    for kind in FOLDERS:
        for tag, revision in git.tags(root, kind).items():
            if named := Slot.of_tag(tag):
                found.append(TaggedVersion(named[0], kind, named[1], tag, revision))
    return found


def _sync_slot(
    db: sqlite3.Connection,
    root: Path,
    stored: DvcRemote,
    slot: Slot,
    kind: str,
    tagged: Sequence[TaggedVersion],
    log: Log,
) -> None:
    place = (str(slot), kind)
    known = dict(db.execute("SELECT tag, revision FROM release WHERE slot = ? AND kind = ?", place))
    here = {one.tag: one.revision for one in tagged}
    fresh = [one for one in tagged if one.tag not in known]
    newest = max((one.version for one in tagged if one.tag in known), default=0)
    if any(here.get(tag) != revision for tag, revision in known.items()) or any(v.version < newest for v in fresh):
        # a tag was moved, deleted or set between two others: the spans of this slot are built again
        db.execute("DELETE FROM release WHERE slot = ? AND kind = ?", place)
        for folder in FOLDERS[kind]:
            db.execute("DELETE FROM span WHERE slot = ? AND folder = ?", (str(slot), folder))
        db.execute("DELETE FROM used WHERE tag LIKE ?", (f"data/{slot}/v%",))
        db.execute("DELETE FROM gap WHERE tag LIKE ?", (f"{kind}/{slot}/v%",))
        fresh, newest = list(tagged), 0
    if not fresh:
        return
    revisions = [one.revision for one in fresh]
    texts = git.show_all(root, revisions, slot.folder / _RECORDS[kind])
    hashes = {
        folder: [tracked_hash(text) for text in git.show_all(root, revisions, metafile(slot.folder / folder))]
        for folder in FOLDERS[kind]
    }
    for position, (one, text) in enumerate(zip(fresh, texts, strict=True)):
        record: dict[str, Any] = json.loads(text) if text else {}
        recorded = str(record.get("golden", "")), hashes[FOLDERS[kind][0]][position], str(record.get("created", ""))
        row = (*place, one.version, one.tag, one.revision, *recorded)
        db.execute("INSERT INTO release VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        for folder in FOLDERS[kind]:
            _extend(db, stored, one, folder, hashes[folder][position], newest)
        newest = one.version
    log(f"indexed {fresh[0].tag}" + (f" to {fresh[-1].tag.rsplit('/', 1)[1]}" if len(fresh) > 1 else ""))


def _extend(
    db: sqlite3.Connection, stored: DvcRemote, one: TaggedVersion, folder: str, tracked: str, before: int
) -> None:
    """Add the files of a folder at a version to the spans; `before` is the version before it."""
    query = "SELECT file, rowid FROM span WHERE slot = ? AND folder = ? AND last = ?"
    present = dict(db.execute(query, (str(one.slot), folder, before)))
    try:
        files = _files(db, stored, tracked)
    except DataRemoteAway:
        raise
    except VersioningError as error:
        stored.require_there()
        # an erasure removes files of old versions for good: their content is then unknown
        db.execute("INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?)", (one.tag, folder, tracked, str(error)))
        return
    continued = [(one.version, present[file]) for file in files if before and file in present]
    db.executemany("UPDATE span SET last = ? WHERE rowid = ?", continued)
    added = [(str(one.slot), folder, file, one.version, one.version) for file in files if file not in present]
    db.executemany("INSERT INTO span VALUES (?, ?, ?, ?, ?)", added)


def _files(db: sqlite3.Connection, stored: DvcRemote, tracked: str) -> list[int]:
    """Return the numbers of a folder's files; read those that are new."""
    listing = stored.listing(tracked) if tracked else {}
    known, wanted = dict[str, int](), iter(listing.values())
    # SQLite limits the number of values of one statement
    while some := tuple(itertools.islice(wanted, _MOST_VALUES)):
        marks = ", ".join("?" * len(some))
        known |= dict(db.execute(f"SELECT md5, id FROM file WHERE md5 IN ({marks})", some))
    for name, md5 in listing.items():
        if md5 not in known:
            with stored.open(md5) as file:
                known[md5] = add_file(db, name, md5, file)
    return [known[md5] for md5 in listing.values()]


def add_file(db: sqlite3.Connection, name: str, md5: str, file: IO[bytes]) -> int:
    """Read who is in a file, add it to the index, and return its number. It is of no version until a span names it.

    Raise VersioningError, and change nothing, if it cannot be read; DataRemoteAway during an outage.
    """
    with read_faults(f"{name} (MD5 {md5})", ", so it is not known who is in it"):
        size = file.seek(0, 2)
        file.seek(0)
        rows = list(_clips(file))
    number = db.execute("INSERT INTO file (md5, name, bytes) VALUES (?, ?, ?)", (md5, name, size)).lastrowid
    assert number is not None
    db.executemany("INSERT INTO clip VALUES (?, ?, ?, ?, ?)", ((number, *row) for row in rows))
    return number


def _clips(file: IO[bytes]) -> Iterator[tuple[bytes, str, str, float]]:
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    wanted = ["id", "speaker", "split", "duration"] if "id" in parquet.schema_arrow.names else ["sha256", "speaker"]
    columns = parquet.read(columns=wanted).to_pydict()
    ids = columns.get("id") or columns.get("sha256") or []
    # a file in quarantine has neither split nor duration
    splits, lengths = columns.get("split") or [QUARANTINE] * len(ids), columns.get("duration") or [0.0] * len(ids)
    for clip, speaker, split, seconds in zip(ids, columns["speaker"], splits, lengths, strict=True):
        # 32 bytes for an id of 64 digits, in the table and in its index
        yield bytes.fromhex(clip), normal_name(speaker or ""), split, seconds
