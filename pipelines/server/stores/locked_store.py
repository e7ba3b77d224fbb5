"""MLflow's SQL registry store with the guard's transaction: what MLflow writes and what the ledger says are one.

MLflow's methods open a session each. Inside `locked` they all get the one that is open, so that an alias, its tags and
the ledger's entry count together or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import Principal
from pipelines.registry.ledger.ledger_checkpoint import checkpoint_file, write_checkpoint
from pipelines.registry.signing.keys import KeyRing, key_folder
from pipelines.registry.slot import Slot
from pipelines.server.ledger import ledger_tables as tables
from pipelines.server.ledger.transaction import LedgerTransaction, lock
from pipelines.server.ledger.trusted_keys import Rings, record_keys
from pipelines.server.refusal import Refusal
from pipelines.server.transitions import version_facts as facts

_log = logging.getLogger(__name__)
_PREFIX = "elp+"
_LONGEST = 2000
"""Characters of a refusal's sentence in the ledger: it may repeat what was sent, which may be millions."""


class LockingStore(SqlAlchemyStore):  # type: ignore[misc]
    """The registry's database with one transaction for MLflow's writes and the guard's, and the ledger locked in it."""

    def __init__(self, store_uri: str, read_db_uri: str | None = None) -> None:
        """Open the database and make the guard's tables where they are missing.

        Args:
            store_uri: ``elp+sqlite:///…`` or ``elp+postgresql://…``.
            read_db_uri: A read replica; not supported, since the guard reads what it has just locked.

        Raises:
            MlflowException: where workspaces are on, or a replica is given.
        """
        if MLFLOW_ENABLE_WORKSPACES.get() or read_db_uri:
            raise MlflowException(
                "the guarded registry knows no MLflow workspaces and no read replica; start the server without them",
                error_code=INVALID_STATE,
            )
        self.ManagedSessionMaker: Any
        super().__init__(store_uri.removeprefix(_PREFIX))
        tables.create(self.engine)
        self._plain_sessions: Any = self.ManagedSessionMaker
        self._open: ContextVar[LedgerTransaction | None] = ContextVar("elp_open_book", default=None)
        self.ManagedSessionMaker = self._joined
        self._rings = Rings(key_folder())
        self._anchor: Path = checkpoint_file(key_folder().parent)

    @contextmanager
    def _joined(self, read_only: bool = True) -> Iterator[Session]:
        """A session as MLflow's methods open it; inside `locked` it is the one that is open."""
        book = self._open.get()
        if book is not None:
            yield book.session
            return
        with self._plain_sessions(read_only=read_only) as session:
            yield session

    @contextmanager
    def locked(self) -> Iterator[LedgerTransaction]:
        """One transaction with the ledger locked; after it the anchor follows.

        All that is read inside is the newest, and all that is written counts or nothing does.

        Raises:
            MlflowException: where this server has no key to sign the ledger with.
        """
        present = self._open.get()
        if present is not None:
            yield present
            return
        with self._plain_sessions(read_only=False) as session:
            book = lock(session, self.ring)
            before, token = book.head, self._open.set(book)
            try:
                record_keys(book)
                yield book
            except AttestationError as error:
                raise MlflowException(str(error), error_code=INVALID_STATE) from error
            finally:
                self._open.reset(token)
        if book.head != before:
            self._move_anchor(book)

    @contextmanager
    def refusing(self, who: Principal) -> Iterator[None]:
        """Record in the ledger what is refused inside, once the transaction of the attempt is rolled back."""
        try:
            yield
        except Refusal as refusal:
            if self._open.get() is None and not refusal.recorded:
                refusal.recorded = True
                self._record(refusal, who)
            raise

    def _record(self, refusal: Refusal, who: Principal) -> None:
        slot = Slot.of_model(refusal.model)
        try:
            with self.locked() as book:
                bundle = facts.bundle_of(book.session, refusal.model, refusal.version) if refusal.version else ""
                book.append(
                    "refused",
                    str(slot) if slot else "",
                    who,
                    after=refusal.version,
                    bundle=bundle,
                    reason=_kept(refusal.message, _LONGEST),
                    detail={"what": refusal.what, "model": _kept(refusal.model, 256)},
                )
        except MlflowException:
            # the refusal stands, whether or not it could be written down
            _log.exception("a refusal could not be recorded: %s", refusal.message)

    def _move_anchor(self, book: LedgerTransaction) -> None:
        try:
            write_checkpoint(self._anchor, book.head, self._hash_of)
        except (OSError, AttestationError):
            # the change is made; an anchor that is behind is found and said by `elp audit --verify`
            _log.exception("the ledger's anchor %s could not be written", self._anchor)

    def _hash_of(self, seq: int) -> str | None:
        with self.ManagedSessionMaker() as session:
            found = session.scalar(select(tables.LEDGER.c.hash).where(tables.LEDGER.c.seq == seq))
        return None if found is None else str(found)

    def ring(self) -> KeyRing:
        """The keys that are trusted now.

        Raises:
            MlflowException: where there are none, or the file is not fit.
        """
        try:
            return self._rings.now()
        except AttestationError as error:
            raise MlflowException(str(error), error_code=INVALID_STATE) from error

    def row(self, model: str, version: int) -> Any:
        """The database's row of a version.

        Raises:
            MlflowException: where there is none.
        """
        with self.ManagedSessionMaker() as session:
            found = facts.version_row(session, model, version)
            if found is None:
                raise MlflowException(
                    f"Model Version (name={model}, version={version}) not found", error_code=RESOURCE_DOES_NOT_EXIST
                )
            if self._open.get() is None:
                session.expunge(found)
            return found


def _kept(text: str, longest: int) -> str:
    """The beginning of a text, as every ledger can hold it: half of a surrogate pair has no UTF-8."""
    return text[:longest].encode("utf-8", "backslashreplace").decode()
