"""The log of one slot: an SQLite database, `.elp/requests/SITE/TASK/requests.sqlite3`, which only its owner reads.

`private_database` says how removed content is overwritten.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import WorkspaceError
from pipelines.private_database import PrivateDatabase
from pipelines.registry.names import normal_name
from pipelines.registry.slot import Slot
from pipelines.request_log.log_policy import RequestLogPolicy
from pipelines.request_log.served_request import ServedRequest, features_bytes, served_json

FILE = "requests.sqlite3"
FORMAT = 1
_TABLES = """
CREATE TABLE request (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL,
    clip TEXT NOT NULL,
    speaker TEXT NOT NULL,
    confidence REAL,
    bytes INTEGER NOT NULL,
    record TEXT NOT NULL,
    features BLOB NOT NULL);
CREATE INDEX request_at ON request (at);
CREATE INDEX request_confidence ON request (confidence);
CREATE TABLE audio (
    id TEXT PRIMARY KEY REFERENCES request (id) ON DELETE CASCADE,
    consent TEXT NOT NULL,
    until TEXT NOT NULL,
    flac BLOB NOT NULL);
CREATE INDEX audio_until ON audio (until);
CREATE TABLE correction (
    id TEXT PRIMARY KEY REFERENCES request (id) ON DELETE CASCADE,
    record TEXT NOT NULL)
"""
_LOG = PrivateDatabase("request log", _TABLES, FORMAT, "if it is damaged, delete the file: a new one is made")


@dataclass(frozen=True)
class KeptAudio:
    """The audio of a request, and on what terms it is kept."""

    flac: bytes
    consent: str
    """Reference of the site's consent when it was recorded."""
    until: str
    """When it is removed: UTC, ISO 8601 with milliseconds."""


@dataclass(frozen=True)
class LogRemoval:
    """What was removed from a log."""

    requests: int = 0
    recordings: int = 0
    """Of requests that stay, or went with them."""


def log_path(state: Path, slot: Slot) -> Path:
    """Return the database of a slot's log below a workspace's state folder."""
    return state / "requests" / slot.site / slot.task / FILE


def logged_slots(state: Path) -> list[Slot]:
    """Return the slots that have a log, sorted."""
    found = (state / "requests").glob(f"*/*/{FILE}")
    return sorted((Slot(path.parts[-3], path.parts[-2]) for path in found), key=str)


def stamp(moment: datetime) -> str:
    """Return a moment as the log stores it; texts are in the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def opened_log(path: Path, *, create: bool = False) -> contextlib.AbstractContextManager[sqlite3.Connection]:
    """Open a log; raises WorkspaceError if it is missing (without `create`), damaged, or of a later release."""
    return _LOG.opened(path, create=create)


def log_transaction(db: sqlite3.Connection) -> contextlib.AbstractContextManager[None]:
    """Commit all that the block writes, or nothing."""
    return _LOG.transaction(db)


def add_requests(db: sqlite3.Connection, added: Sequence[tuple[ServedRequest, KeptAudio | None]]) -> int:
    """Add records with their audio; return how many were new. A record whose id is known is left out."""
    new = 0
    for record, audio in added:
        text, features = served_json(record), features_bytes(record.features)
        size = len(text.encode()) + len(features) + (len(audio.flac) if audio else 0)
        values = (record.id, record.at, record.clip, record.speaker, record.confidence, size, text, features)
        done = db.execute(
            "INSERT OR IGNORE INTO request (id, at, clip, speaker, confidence, bytes, record, features) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        ).rowcount
        new += done
        if done and audio:
            db.execute("INSERT INTO audio VALUES (?, ?, ?, ?)", (record.id, audio.consent, audio.until, audio.flac))
    return new


def remove_excess(db: sqlite3.Connection, policy: RequestLogPolicy, now: datetime) -> LogRemoval:
    """Remove what is older than the policy keeps, or above its bounds; audio also when its own time is over.

    The time of the audio is that of the settings when it was recorded, or of the present ones if that is earlier.
    Without a consent in the present settings, all audio is removed.
    """
    before = _counts(db)
    with log_transaction(db):
        ends = (stamp(now), stamp(now - policy.audio_age), not policy.audio_consent)
        over = "SELECT a.id FROM audio a JOIN request r USING (id) WHERE a.until <= ? OR r.at <= ? OR ?"
        for (id_,) in db.execute(over, ends).fetchall():
            _remove_audio(db, id_)
        db.execute("DELETE FROM request WHERE at <= ?", (stamp(now - policy.age),))
        db.execute(
            "DELETE FROM request WHERE number <= (SELECT number FROM request ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (policy.rows,),
        )
        db.execute(
            "DELETE FROM request WHERE number <= (SELECT MAX(number) FROM (SELECT number, SUM(bytes) OVER "
            "(ORDER BY number DESC) AS total FROM request) WHERE total > ?)",
            (int(policy.megabytes * 2**20),),
        )
    return _removed(db, before)


def clean_logs(state: Path, policy: Callable[[Slot], RequestLogPolicy]) -> dict[Slot, LogRemoval]:
    """Remove what is over its time or above the bounds from every log of a workspace; return what, by slot.

    Every log is cleaned; then WorkspaceError is raised for the first that cannot be used.
    """
    found, fault = dict[Slot, LogRemoval](), None
    for slot in logged_slots(state):
        try:
            with opened_log(log_path(state, slot)) as db:
                found[slot] = remove_excess(db, policy(slot), datetime.now(UTC))
        except WorkspaceError as error:
            fault = fault or error
    if fault:
        raise fault
    return found


def erase_subject(db: sqlite3.Connection, *, speaker: str = "", clip: str = "") -> LogRemoval:
    """Remove every request of a speaker, or of a recording (the first digits of a clip id): record, features, audio."""
    before = _counts(db)
    with log_transaction(db):
        for number in subject_numbers(db, speaker=speaker, clip=clip):
            db.execute("DELETE FROM request WHERE number = ?", (number,))
    return _removed(db, before)


def subject_numbers(db: sqlite3.Connection, *, speaker: str = "", clip: str = "") -> list[int]:
    """Return the numbers of the requests of a speaker, or of a recording."""
    if speaker:
        found = db.execute("SELECT number FROM request WHERE speaker = ?", (normal_name(speaker),))
    else:
        found = db.execute("SELECT number FROM request WHERE substr(clip, 1, ?) = ?", (len(clip), clip))
    return [number for (number,) in found]


def clear_log(db: sqlite3.Connection) -> LogRemoval:
    """Remove everything."""
    before = _counts(db)
    with log_transaction(db):
        db.execute("DELETE FROM request")
    return _removed(db, before)


def _remove_audio(db: sqlite3.Connection, id_: str) -> None:
    # the record stays, and no longer counts the bytes of its audio
    db.execute(
        "UPDATE request SET bytes = bytes - (SELECT length(flac) FROM audio WHERE audio.id = request.id) WHERE id = ?",
        (id_,),
    )
    db.execute("DELETE FROM audio WHERE id = ?", (id_,))


def _counts(db: sqlite3.Connection) -> tuple[int, int]:
    requests, recordings = (db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in ("request", "audio"))
    return int(requests), int(recordings)


def _removed(db: sqlite3.Connection, before: tuple[int, int]) -> LogRemoval:
    requests, recordings = _counts(db)
    gone = LogRemoval(before[0] - requests, before[1] - recordings)
    if gone != LogRemoval():
        # give the space back to the disk; `execute` would free one page and stop
        db.executescript("PRAGMA incremental_vacuum")
    return gone
