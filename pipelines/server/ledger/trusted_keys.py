"""The trusted keys as the server sees them: read again when their file changes, and each change in the ledger."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from pipelines.registry.ledger.entry import read_entry
from pipelines.registry.signing.keys import TRUSTED_FILE, KeyRing, load_trusted_keys
from pipelines.server.auth.principal import SERVER
from pipelines.server.ledger.ledger_tables import LEDGER
from pipelines.server.ledger.transaction import LedgerTransaction


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
