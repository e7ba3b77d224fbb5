"""The ledger inside one transaction: locked first, appended to, signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from pipelines.registry.ledger.entry import Event, Head, LedgerEntry, Principal, next_entry, sign_entry
from pipelines.registry.signing.keys import KeyRing
from pipelines.server.ledger.ledger_tables import HEAD, LEDGER


@dataclass
class LedgerTransaction:
    """The ledger of one open transaction; `head` moves on with each entry."""

    session: Session
    ring: KeyRing
    head: Head
    last_at: str

    def append(
        self,
        event: Event,
        slot: str,
        who: Principal,
        *,
        before: int | None = None,
        after: int | None = None,
        bundle: str = "",
        reason: str = "",
        statements: tuple[str, ...] = (),
        detail: Mapping[str, Any] | None = None,
    ) -> LedgerEntry:
        """Write the next entry; it counts when the transaction does.

        Raises:
            AttestationError: where this server has no key of the role ``ledger``.
        """
        entry = next_entry(
            self.head,
            self.last_at,
            event=event,
            slot=slot,
            before=before,
            after=after,
            bundle=bundle,
            principal=who,
            reason=reason,
            statements=statements,
            detail=dict(detail or {}),
        )
        row = sign_entry(entry, self.ring)
        self.session.execute(
            insert(LEDGER).values(
                seq=row.seq,
                at=entry.at,
                slot=slot,
                event=event,
                before_version=before,
                after_version=after,
                entry=row.entry,
                hash=row.hash,
                envelope=row.envelope,
            )
        )
        self.head, self.last_at = Head(row.seq, row.hash), entry.at
        self.session.execute(update(HEAD).values(seq=row.seq, hash=row.hash, at=entry.at))
        return entry


def lock(session: Session, ring: Callable[[], KeyRing]) -> LedgerTransaction:
    """Lock the ledger until the transaction ends. Must be its first statement, so that what is read next is the newest.

    SQLite then holds the database's write lock, PostgreSQL (read committed) the row's.

    Args:
        session: Of the transaction.
        ring: Reads the trusted keys; asked when the lock is held, since one may be revoked while it is waited for.
    """
    session.execute(update(HEAD).values(seq=HEAD.c.seq))
    seq, digest, at = session.execute(select(HEAD.c.seq, HEAD.c.hash, HEAD.c.at)).one()
    return LedgerTransaction(session, ring(), Head(int(seq), str(digest)), str(at))
