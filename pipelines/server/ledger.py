"""The ledger: the guard's tables, and the transaction that locks the ledger, appends entries and signs them.

The tables are in the registry's own database, so that one transaction changes both. The trusted keys are read again
when their file changes, and each change is in the ledger.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipelines.registry.ledger.entry import (
    NOTHING,
    Event,
    Head,
    LedgerEntry,
    Principal,
    next_entry,
    read_entry,
    sign_entry,
)
from pipelines.registry.signing.keys import TRUSTED_FILE, KeyRing, load_trusted_keys
from pipelines.server.auth.principal import SERVER

METADATA = MetaData()

HEAD = Table(
    "elp_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("at", String(40), nullable=False),
)
"""One row: number, hash and time of the newest entry. Its update is the lock of every guarded write."""

LEDGER = Table(
    "elp_ledger",
    METADATA,
    # the chain gives the numbers: those of a database sequence have gaps after a rollback
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("slot", String(80), nullable=False),
    Column("event", String(40), nullable=False),
    Column("before_version", Integer),
    Column("after_version", Integer),
    Column("entry", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("envelope", Text, nullable=False),
    Index("elp_ledger_slot", "slot", "event", "seq"),
    Index("elp_ledger_event", "event", "seq"),
)

STATEMENTS = Table(
    "elp_statements",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("bundle", String(80), nullable=False),
    Column("fingerprint", String(80), nullable=False),
    Column("dataset", String(200), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("keyid", String(64), nullable=False),
    Column("envelope", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Index("elp_statements_version", "model", "version", "kind", "seq"),
    Index("elp_statements_bundle", "bundle"),
    Index("elp_statements_fingerprint", "fingerprint"),
    Index("elp_statements_dataset", "dataset"),
)
"""`seq` is the number of the ledger entry that recorded the statement. Two versions may have one lineage."""

FROZEN = Table(
    "elp_frozen",
    METADATA,
    Column("path", String(500), primary_key=True),
    Column("model", String(256), nullable=False),
    Column("version", Integer, nullable=False),
    Column("what", String(40), nullable=False),
)
"""Folders of the artifact store in which nothing may be written or deleted."""

OVERRIDES = Table(
    "elp_overrides",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("slot", String(80), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle", String(80), nullable=False),
    Column("before", Integer),
    Column("before_bundle", String(80), nullable=False),
    Column("reason", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("asked_by", String(256), nullable=False),
    Column("asked_at", String(40), nullable=False),
    Column("approved_by", String(256), nullable=False),
    Column("approved_at", String(40), nullable=False),
    Column("until", String(40), nullable=False),
    Column("ended_at", String(40), nullable=False),
    Column("ended", String(40), nullable=False),
    Index("elp_overrides_open", "ended", "slot"),
)
"""Override requests and their outcome, with empty text for what has not happened. A slot has one open at most."""

TRASH = Table(
    "elp_trash",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("model", String(256), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("row", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Index("elp_trash_version", "model", "version"),
)
"""Versions that the policy deleted, by the entry that says so, with what MLflow's deletion clears of their rows.

`state` is ``trashed``, or ``emptying`` from the moment at which the bytes begin to go: nothing brings it back then."""

WORKERS = Table(
    "elp_workers",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("token", String(64), nullable=False),
    Column("addresses", Text, nullable=False),
    Column("invited_by", String(256), nullable=False),
    Column("invited_at", String(40), nullable=False),
    Column("until", String(40), nullable=False),
    Column("enrolled_at", String(40), nullable=False),
    Column("keys", Text, nullable=False),
    Column("ended_at", String(40), nullable=False),
    Column("ended", String(20), nullable=False),
)
"""Workers by name, with empty text for what has not happened. Of the one-time token only the SHA-256 is kept."""

BOXES = Table(
    "elp_boxes",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("site", String(40), nullable=False),
    Column("token", String(64), nullable=False),
    Column("invited_by", String(256), nullable=False),
    Column("invited_at", String(40), nullable=False),
    Column("until", String(40), nullable=False),
    Column("enrolled_at", String(40), nullable=False),
    Column("access", String(64), nullable=False),
    Column("pem", Text, nullable=False),
    Column("ended_at", String(40), nullable=False),
    Column("report", Text, nullable=False),
    Column("report_at", String(40), nullable=False),
)
"""Edge boxes by name, with empty text for what has not happened. Of both tokens only the SHA-256 is kept."""

TEMPLATES = Table(
    "elp_templates",
    METADATA,
    Column("voice", String(32), primary_key=True),
    Column("bundle", String(80), primary_key=True),
    Column("slot", String(80), nullable=False),
    Column("person", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprint", String(80), nullable=False),
    Column("quality", Text, nullable=False),
    Column("consent", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("revoked_at", String(40), nullable=False),
    Index("elp_templates_slot", "slot", "person"),
)
"""Templates of enrolled voices, encrypted by those who enrol; of a revoked one the sealed bytes are empty."""


def create_tables(engine: Engine) -> None:
    """Create the tables that are missing. Every server process calls this when it starts."""
    METADATA.create_all(engine, checkfirst=True)
    with engine.connect() as connection:
        if connection.execute(select(HEAD.c.seq)).first() is not None:
            return
    try:
        with engine.begin() as connection:
            # the fixed id makes the second of two inserts fail
            connection.execute(insert(HEAD).values(id=1, seq=0, hash=NOTHING, at=""))
    except IntegrityError:
        # another process inserted it at the same moment
        return


@dataclass
class LedgerTransaction:
    """The ledger in one open database transaction; each entry advances `head`."""

    session: Session
    keys: KeyRing
    """The trusted keys, read after the lock was taken."""
    head: Head
    last_at: str
    """`at` of the newest entry."""

    def append(
        self,
        event: Event,
        slot: str,
        principal: Principal,
        *,
        before: int | None = None,
        after: int | None = None,
        bundle: str = "",
        reason: str = "",
        statements: tuple[str, ...] = (),
        detail: Mapping[str, Any] | None = None,
    ) -> LedgerEntry:
        """Write the next entry. It counts only if the database transaction is committed."""
        subject = {"event": event, "slot": slot, "before": before, "after": after, "bundle": bundle}
        # a `Caller` has rights too, which are no part of the format
        recorded = Principal(principal.name, principal.login, principal.address)
        why = {"principal": recorded, "reason": reason, "statements": statements, "detail": dict(detail or {})}
        entry = next_entry(self.head, self.last_at, **subject, **why)
        row = sign_entry(entry, self.keys)
        versions = {"before_version": before, "after_version": after}
        text = {"entry": row.entry, "hash": row.hash, "envelope": row.envelope}
        self.session.execute(
            insert(LEDGER).values(seq=row.seq, at=entry.at, slot=slot, event=event, **versions, **text)
        )
        self.head, self.last_at = Head(row.seq, row.hash), entry.at
        self.session.execute(update(HEAD).values(seq=row.seq, hash=row.hash, at=entry.at))
        return entry


def lock_ledger(session: Session, keys: Callable[[], KeyRing]) -> LedgerTransaction:
    """Lock the ledger until the transaction ends: SQLite locks the database for writers, PostgreSQL the head's row.

    The session's transaction has not read anything yet, so that all that it reads is the newest. The trusted keys are
    read after the lock is taken: a key may be revoked while others hold it.
    """
    # an update without a change takes the lock of one with a change; SQLite has no SELECT … FOR UPDATE
    session.execute(update(HEAD).values(seq=HEAD.c.seq))
    seq, digest, at = session.execute(select(HEAD.c.seq, HEAD.c.hash, HEAD.c.at)).one()
    return LedgerTransaction(session, keys(), Head(int(seq), str(digest)), str(at))


class TrustedKeys:
    """The key ring of one folder, cached until its file changes: a revoked key is refused from the next request on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cached: tuple[tuple[int, int, int], KeyRing] | None = None

    def read(self) -> KeyRing:
        """Return the keys that the folder holds at this moment."""
        try:
            # before the content is read: a file that changes in between is then read again by the next request
            status = (self.folder / TRUSTED_FILE).stat()
        except OSError:
            return load_trusted_keys(self.folder)
        # the inode too: a file that is replaced within the clock's resolution may have the same time and size
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._cached is None or self._cached[0] != stamp:
            self._cached = (stamp, load_trusted_keys(self.folder))
        return self._cached[1]


def record_keys(transaction: LedgerTransaction) -> None:
    """Append ``keys changed`` if the newest such entry records other keys than the transaction's."""
    newest = select(LEDGER.c.entry).where(LEDGER.c.event == "keys changed").order_by(LEDGER.c.seq.desc()).limit(1)
    text = transaction.session.scalar(newest)
    digest = transaction.keys.digest
    if text is not None and read_entry(text).detail.get("ring") == digest:
        return
    keys = [f"{key.name} {key.keyid[:12]} ({', '.join(key.roles)}): {key.state}" for key in transaction.keys.keys]
    transaction.append("keys changed", "", SERVER, detail={"ring": digest, "keys": keys})
