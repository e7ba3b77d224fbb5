"""Read logged requests. Audio whose time is over is never returned, even if it is not removed yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import KeptAudio, log_path, opened_log, stamp
from pipelines.request_log.served_request import ServedRequest, read_served

_AT_ONCE = 500


@dataclass(frozen=True)
class LoggedRequest:
    """A record and its place in the log."""

    number: int
    """Later requests have higher numbers; a number is never used again."""
    record: ServedRequest


@dataclass(frozen=True)
class RequestFilter:
    """Which requests a page shows."""

    since: str = ""
    """UTC, ISO 8601; the request is of then or later."""
    until: str = ""
    """UTC, ISO 8601; the request is of before then."""
    below: float | None = None
    """The confidence is lower."""
    lowest_first: bool = False
    """In the order of confidence; else the newest first."""


def read_requests(state: Path, slot: Slot, after: int = 0) -> Iterator[LoggedRequest]:
    """Yield the requests of a slot whose number is above `after`, in the order of their numbers; none without a log.

    A look that remembers the highest number it has counted passes it at the next time.

    Raises:
        WorkspaceError: The log is damaged or of a later release.
    """
    path = log_path(state, slot)
    if not path.is_file():
        return
    while True:
        # not open between the chunks: a reader that is slow must not keep the server from writing
        with opened_log(path) as db:
            rows = db.execute(
                "SELECT number, record, features FROM request WHERE number > ? ORDER BY number LIMIT ?",
                (after, _AT_ONCE),
            ).fetchall()
        if not rows:
            return
        for number, text, features in rows:
            yield LoggedRequest(number, read_served(text, features))
        after = rows[-1][0]


def request_page(
    db: sqlite3.Connection, wanted: RequestFilter, first: int, limit: int
) -> tuple[int, list[LoggedRequest]]:
    """Return how many requests a filter has, and `limit` of them from the place `first` on."""
    where, values = ["1"], list[object]()
    for condition, value in (("at >= ?", wanted.since), ("at < ?", wanted.until), ("confidence < ?", wanted.below)):
        if value not in ("", None):
            where.append(condition)
            values.append(value)
    chosen = " AND ".join(where)
    total: int = db.execute(f"SELECT COUNT(*) FROM request WHERE {chosen}", values).fetchone()[0]
    order = "confidence IS NULL, confidence, number DESC" if wanted.lowest_first else "number DESC"
    rows = db.execute(
        f"SELECT number, record, features FROM request WHERE {chosen} ORDER BY {order} LIMIT ? OFFSET ?",
        (*values, limit, first),
    )
    return total, [LoggedRequest(number, read_served(text, features)) for number, text, features in rows]


@dataclass(frozen=True)
class SpeechlessCount:
    """How many logged requests of some days were without speech."""

    requests: int
    speechless: int

    @property
    def share(self) -> float | None:
        """Return the share, or None without requests."""
        return self.speechless / self.requests if self.requests else None


def count_speechless(db: sqlite3.Connection, since: str, until: str) -> SpeechlessCount:
    """Return how many requests there were from a moment on and before another one (UTC, ISO 8601)."""
    counted = "SELECT COUNT(*), COALESCE(SUM(length(features) = 0), 0) FROM request WHERE at >= ? AND at < ?"
    return SpeechlessCount(*db.execute(counted, (since, until)).fetchone())


def find_request(db: sqlite3.Connection, id_: str) -> LoggedRequest | None:
    """Return the request with an id, or None."""
    row = db.execute("SELECT number, record, features FROM request WHERE id = ?", (id_,)).fetchone()
    return LoggedRequest(row[0], read_served(row[1], row[2])) if row else None


def find_audio(db: sqlite3.Connection, id_: str) -> KeptAudio | None:
    """Return the audio of a request; None if none was kept, or if its time is over."""
    row = db.execute(
        "SELECT flac, consent, until FROM audio WHERE id = ? AND until > ?", (id_, stamp(datetime.now(UTC)))
    ).fetchone()
    return KeptAudio(*row) if row else None
