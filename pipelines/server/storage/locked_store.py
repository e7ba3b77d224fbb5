"""MLflow's SQL registry store with ledger transactions: MLflow's writes and the ledger's are committed together.

MLflow's methods open one session each. Inside `locked` they all get the session that is open, so that an alias, its
tags and the ledger entry are committed together or not at all.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import select
from sqlalchemy.orm import Session

from elp_core.fail_points import fail_point
from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import Principal
from pipelines.registry.ledger.ledger_checkpoint import checkpoint_file, write_ledger_checkpoint
from pipelines.registry.signing.keys import KeyRing, key_folder
from pipelines.registry.slot import Slot
from pipelines.server.ledger import LEDGER, LedgerTransaction, TrustedKeys, create_tables, lock_ledger, record_keys
from pipelines.server.refusal import Attempt, Refusal
from pipelines.server.storage.kept_rows import guard_rows
from pipelines.server.storage.serving_rows import SERVING
from pipelines.server.storage.version_rows import bundle_of, version_row

_log = logging.getLogger(__name__)
_PREFIX = "elp+"
_LONGEST = 2000
"""Characters of a refusal's sentence in the ledger: it may repeat what was sent, which may be millions."""


class LockedStore(SqlAlchemyStore):  # type: ignore[misc]
    """The registry's database, with one transaction for MLflow's writes and the guard's and the ledger locked in it."""

    def __init__(self, store_uri: str, read_db_uri: str | None = None) -> None:
        """Open ``elp+sqlite:///…`` or ``elp+postgresql://…``, and create the guard's tables if they are missing.

        MLflow's workspaces are refused, and so is a read replica: the guard must read what it has just locked.
        """
        if MLFLOW_ENABLE_WORKSPACES.get() or read_db_uri:
            raise MlflowException(
                "the guarded registry supports neither MLflow workspaces nor a read replica; start the server without "
                "them",
                error_code=INVALID_STATE,
            )
        self.ManagedSessionMaker: Any
        super().__init__(store_uri.removeprefix(_PREFIX))
        create_tables(self.engine)
        SERVING.create(self.engine, checkfirst=True)
        guard_rows(self.engine)
        self._mlflow_sessions: Any = self.ManagedSessionMaker
        # not an attribute: other requests of this process must not join the transaction
        self._open: ContextVar[LedgerTransaction | None] = ContextVar("elp_open_transaction", default=None)
        # MLflow's methods look this name up: replacing it lets them join the open transaction
        self.ManagedSessionMaker = self._joined_session
        self._trusted_keys = TrustedKeys(key_folder())
        self._checkpoint: Path = checkpoint_file(key_folder().parent)

    @contextmanager
    def _joined_session(self, read_only: bool = True) -> Iterator[Session]:
        """Open a session as MLflow's methods do; inside `locked` it is the one that is open."""
        transaction = self._open.get()
        if transaction is not None:
            yield transaction.session
            return
        with self._mlflow_sessions(read_only=read_only) as session:
            yield session

    @contextmanager
    def locked(self) -> Iterator[LedgerTransaction]:
        """Run the block in one transaction with the ledger locked, and write the checkpoint after it.

        All reads inside see the newest rows, and all writes are committed or none.
        """
        present = self._open.get()
        if present is not None:
            yield present
            return
        with self._mlflow_sessions(read_only=False) as session:
            transaction = lock_ledger(session, self.trusted_keys)
            # a key that was added or revoked is recorded before the first entry that depends on it
            before, token = transaction.head, self._open.set(transaction)
            try:
                record_keys(transaction)
                yield transaction
            except AttestationError as error:
                raise MlflowException(str(error), error_code=INVALID_STATE) from error
            finally:
                self._open.reset(token)
            fail_point("before ledger transaction")
        fail_point("after ledger transaction")
        # after the commit: a checkpoint ahead of the ledger would look like a ledger that lost its end
        if transaction.head != before:
            self._write_checkpoint(transaction)

    @contextmanager
    def refusing(self, principal: Principal) -> Iterator[None]:
        """Record each refusal that is raised inside, after the transaction of the attempt is rolled back."""
        try:
            yield
        except Refusal as refusal:
            # only the outermost block records: inside, the record would be rolled back with the attempt
            if self._open.get() is None and not refusal.recorded:
                refusal.recorded = True
                self._record(refusal, principal)
            raise

    def record_refusal(self, principal: Principal, what: str, sentence: str) -> None:
        """Record a request that was refused before it reached the store."""
        with suppress(Refusal), self.refusing(principal):
            raise Attempt(what).refused(sentence)

    def record_users(self, principal: Principal, detail: Mapping[str, str]) -> None:
        """Record a change of users or roles."""
        with self.locked() as transaction:
            transaction.append("users changed", "", principal, detail=detail)

    def _record(self, refusal: Refusal, principal: Principal) -> None:
        attempt, slot = refusal.attempt, Slot.of_model(refusal.attempt.model)
        try:
            with self.locked() as transaction:
                session, version = transaction.session, attempt.version
                transaction.append(
                    "refused",
                    str(slot) if slot else "",
                    principal,
                    after=version,
                    bundle=bundle_of(session, attempt.model, version) if version else "",
                    reason=_recordable(refusal.message, _LONGEST),
                    detail={"what": attempt.what, "model": _recordable(attempt.model, 256)},
                )
        except MlflowException:
            # the caller gets the refusal in any case
            _log.exception("a refusal could not be recorded: %s", refusal.message)

    def _write_checkpoint(self, transaction: LedgerTransaction) -> None:
        try:
            write_ledger_checkpoint(self._checkpoint, transaction.head, self._hash_of)
        except (OSError, AttestationError):
            # the change is committed; `elp audit --verify` reports a checkpoint that is behind
            _log.exception("the ledger checkpoint %s could not be written", self._checkpoint)

    def _hash_of(self, seq: int) -> str | None:
        with self.ManagedSessionMaker() as session:
            found = session.scalar(select(LEDGER.c.hash).where(LEDGER.c.seq == seq))
        return None if found is None else str(found)

    def trusted_keys(self) -> KeyRing:
        """Return the keys that are trusted now."""
        try:
            return self._trusted_keys.read()
        except AttestationError as error:
            raise MlflowException(str(error), error_code=INVALID_STATE) from error

    def row(self, model: str, version: int) -> Any:
        """Return the database row of a version; raise MlflowException if there is none."""
        with self.ManagedSessionMaker() as session:
            found = version_row(session, model, version)
            if found is None:
                raise MlflowException(
                    f"Model Version (name={model}, version={version}) not found", error_code=RESOURCE_DOES_NOT_EXIST
                )
            # a row outlives its session only if it is detached; inside `locked` the session is still open
            if self._open.get() is None:
                session.expunge(found)
            return found


def _recordable(text: str, longest: int) -> str:
    """Return the beginning of a text as a ledger can hold it: half of a surrogate pair has no UTF-8."""
    return text[:longest].encode("utf-8", "backslashreplace").decode()
