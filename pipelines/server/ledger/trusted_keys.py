"""The trusted keys as the server sees them: read again when their file changes, each change in the ledger."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from pipelines.registry.ledger.entry import read_entry
from pipelines.registry.signing.keys import TRUSTED_FILE, KeyRing, load_ring
from pipelines.server.auth.principal import SERVER
from pipelines.server.ledger.ledger_tables import LEDGER
from pipelines.server.ledger.transaction import LedgerTransaction


class Rings:
    """The key ring of one folder. Nothing has to be told: a key added or revoked counts from the next request on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[tuple[int, int, int], KeyRing] | None = None

    def now(self) -> KeyRing:
        """The keys as they are in the folder at this moment.

        Raises:
            AttestationError: where there are none, or the file is not fit.
        """
        try:
            status = (self._folder / TRUSTED_FILE).stat()
        except OSError:
            return load_ring(self._folder)
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, load_ring(self._folder))
        return self._known[1]


def record_keys(book: LedgerTransaction) -> None:
    """Write an entry where the ledger knows other keys than the book's."""
    digest = book.ring.digest
    if digest == _newest(book):
        return
    keys = [f"{key.name} {key.keyid[:12]} ({', '.join(key.roles)}): {key.state}" for key in book.ring.keys]
    book.append("keys changed", "", SERVER, detail={"ring": digest, "keys": keys})


def _newest(book: LedgerTransaction) -> str:
    newest = select(LEDGER.c.entry).where(LEDGER.c.event == "keys changed").order_by(LEDGER.c.seq.desc()).limit(1)
    text = book.session.scalar(newest)
    return "" if text is None else str(read_entry(text).detail.get("ring", ""))
