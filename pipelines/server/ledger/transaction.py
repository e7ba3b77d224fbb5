"""A ledger transaction: the ledger is locked first, then entries are appended and signed.

The trusted keys are read again when their file changes, and each change is in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from pipelines.registry.ledger.entry import Event, Head, LedgerEntry, Principal, next_entry, read_entry, sign_entry
from pipelines.registry.signing.keys import TRUSTED_FILE, KeyRing, load_trusted_keys
from pipelines.server.auth.principal import SERVER
from pipelines.server.ledger.ledger_tables import HEAD, LEDGER


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
    # an update without a change takes the same lock as one with a change
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
