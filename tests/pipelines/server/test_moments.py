"""One store on SQLite, in this process: changes between a check and the write that depends on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy import insert, text

from pipelines.registry.ledger.entry import read_entry
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.key_folder import retire_key, rotate_key
from pipelines.registry.signing.keys import TRUSTED_FILE
from pipelines.registry.slot import Slot
from pipelines.server import app, mlflow_private
from pipelines.server import overrides as expiry
from pipelines.server.ledger import STATEMENTS
from pipelines.server.refusal import Refusal
from pipelines.server.storage import locked_store as locking
from pipelines.server.storage import override_requests
from pipelines.server.storage.artifact_bytes import HashedBundle
from pipelines.server.stores import registry_store as server
from pipelines.server.stores import write_checks as checks
from pipelines.server.stores.registry_store import GuardedStore
from pipelines.server.transitions import champion_transition
from pipelines.server.transitions import version_facts as facts
from tests.support.bare_store import ANN, SLOT, open_store
from tests.support.versions_by_hand import Made, lineage_of

LONG_AGO = "2020-01-01T00:00:00.000000+00:00"
MADE = Made(SLOT.model_name, 1, "sha256:" + "1" * 64, {}, "sha256:" + "2" * 64, "run", "m-1", "1/models/m-1/artifacts")


def _stored(store: GuardedStore, recorded: bool) -> facts.CheckedStatement:
    """A lineage signed before its key was retired, recorded after it, in a row that is dated back."""
    signed = sign(lineage_of(MADE).payload, store.trusted_keys(), "lineage")
    retire_key(store.trusted_keys().folder, "lineage")
    with store.locked() as transaction:
        named = (signed.digest,) if recorded else ()
        entry = transaction.append("registered", str(SLOT), ANN, after=1, statements=named)
        values = {"digest": signed.digest, "model": SLOT.model_name, "version": 1, "seq": entry.seq, "at": LONG_AGO}
        values |= {"kind": "lineage", "keyid": signed.keyid, "envelope": signed.text, "bundle": MADE.bundle}
        transaction.session.execute(insert(STATEMENTS).values(**values, fingerprint="", dataset="", outcome=""))
        found = facts.newest_statement(transaction.session, transaction.keys, "lineage", SLOT.model_name, 1)
    assert found is not None
    return found


@pytest.mark.parametrize(("recorded", "fault"), [(True, "was retired at"), (False, "does not record it")])
def test_a_backdated_row_does_not_revive_a_retired_key(store: GuardedStore, recorded: bool, fault: str) -> None:
    assert fault in _stored(store, recorded).fault


def test_a_description_is_checked_and_written_under_the_lock(
    store: GuardedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked: list[str] = []

    def meanwhile(*_: Any) -> None:
        with closing(sqlite3.connect(tmp_path / "mlflow.db", timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("UPDATE elp_head SET seq = seq")
            looked.append("tried")

    monkeypatch.setattr(checks, "check_description", meanwhile)
    store.update_model_version(SLOT.model_name, 1, "a note")
    assert (looked, store.row(SLOT.model_name, 1).description) == (["tried"], "a note")


def test_keys_that_change_while_a_writer_waits_for_the_lock_count(
    store: GuardedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = locking.lock_ledger, store.trusted_keys().digest

    def late(session: Any, ring: Any) -> Any:
        rotate_key(store._trusted_keys.folder, "verdict")
        return real(session, ring)

    monkeypatch.setattr(locking, "lock_ledger", late)
    with store.locked() as transaction:
        assert transaction.keys.digest != before


def test_keys_put_back_are_a_change_for_every_process(store: GuardedStore, tmp_path: Path) -> None:
    other = open_store(tmp_path)
    trusted = tmp_path / "keys" / TRUSTED_FILE
    kept = trusted.read_text()
    rotate_key(tmp_path / "keys", "verdict")
    for writer, wanted in ((other, trusted.read_text()), (store, kept)):
        trusted.write_text(wanted)
        with writer.locked() as transaction:
            transaction.append("deleted", str(SLOT), ANN)
        with store.ManagedSessionMaker() as session:
            query = "SELECT entry FROM elp_ledger WHERE event = 'keys changed' ORDER BY seq DESC"
            newest = read_entry(session.scalar(text(query)))
        assert newest.detail["ring"] == writer.trusted_keys().digest
    other._dispose_engine()


def test_an_override_that_cannot_be_ended_does_not_delay_another(
    store: GuardedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.locked() as transaction:
        for slot in ("plant-a/asr", "plant-b/asr"):
            values: dict[str, Any] = {"slot": slot, "version": 1, "bundle": "", "before": None, "before_bundle": ""}
            values |= {"reason": "x", "seconds": 1.0, "asked_by": "ann", "asked_at": LONG_AGO}
            override_requests.approve_request(
                transaction.session, override_requests.add_request(transaction.session, **values), "bob", LONG_AGO
            )
    real = expiry._end

    def spoilt(store: Any, slot: Slot, *more: Any) -> Any:
        if slot.site == "plant-a":
            raise MlflowException("a record cannot be read")
        return real(store, slot, *more)

    monkeypatch.setattr(expiry, "_end", spoilt)
    ended, _ = expiry.end_expired_overrides(store)
    assert [request.slot for request in ended] == ["plant-b/asr"]


def test_a_server_whose_runs_are_not_guarded_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "registry", object)
    monkeypatch.setattr(mlflow_private, "tracking_store", object)
    with pytest.raises(
        RuntimeError, match="the runs are kept by object, which lets a run be deleted that a version is based on"
    ):
        app._refuse_unguarded_stores()


@pytest.mark.parametrize("verb", ["rollback", "retire"])
def test_a_request_about_one_champion_does_not_end_another(
    store: GuardedStore, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(champion_transition, "hash_bundle", lambda _: HashedBundle("", "it is not there"))
    with store.locked() as transaction:
        champion_transition.apply_change(
            transaction, SLOT, "promoted", None, 1, ANN, reason="it passed", bundle=MADE.bundle
        )
    tries: dict[str, Callable[[], Any]] = {
        "rollback": lambda: champion_transition.roll_back(store, SLOT, 1, ANN, "worse", seen=7),
        "retire": lambda: champion_transition.retire_champion(store, SLOT, ANN, "worse", seen=7),
    }
    with pytest.raises(Refusal, match="was v7 and is v1 now; look again"):
        tries[verb]()
    assert store.get_registered_model(SLOT.model_name).aliases == {"champion": 1}
