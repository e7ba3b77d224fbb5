"""One store on SQLite, in this process: what is written in one transaction is committed together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy import text

from pipelines.registry.ledger.chain import verify_chain
from pipelines.registry.ledger.entry import LedgerRow
from pipelines.registry.signing.key_folder import retire_key, rotate_key
from pipelines.registry.verdict_statement import ChampionRef
from pipelines.server.refusal import Attempt, Refusal
from pipelines.server.stores.registry_store import GuardedStore
from pipelines.server.transitions import projection
from pipelines.server.transitions.champion_transition import apply_change
from tests.support.bare_store import ANN, SLOT


def _rows(store: GuardedStore) -> list[LedgerRow]:
    with store.ManagedSessionMaker() as session:
        found = session.execute(text("SELECT seq, entry, hash, envelope FROM elp_ledger ORDER BY seq")).all()
    return [LedgerRow(*row) for row in found]


def test_an_alias_and_its_entry_are_committed_together_or_not_at_all(
    store: GuardedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(_rows(store))
    with monkeypatch.context() as patch:
        patch.setattr(projection, "set_tags", _interrupt)
        with pytest.raises(MlflowException, match="cut off"), store.locked() as transaction:
            apply_change(transaction, SLOT, "promoted", None, 1, ANN, reason="it passed", bundle="sha256:b")
    assert (len(_rows(store)), store.get_registered_model(SLOT.model_name).aliases) == (before, {})
    with store.locked() as transaction:
        apply_change(transaction, SLOT, "promoted", None, 1, ANN, reason="it passed", bundle="sha256:b")
    assert (len(_rows(store)), store.get_registered_model(SLOT.model_name).aliases) == (before + 1, {"champion": 1})
    with store.locked() as transaction:
        apply_change(
            transaction, SLOT, "retired", ChampionRef(1, "sha256:b"), None, ANN, reason="done", bundle="sha256:b"
        )
    assert store.get_registered_model(SLOT.model_name).aliases == {}


def _interrupt(*_: object) -> None:
    raise RuntimeError("cut off")


def test_parallel_writers_lose_no_entry(store: GuardedStore) -> None:
    before = len(_rows(store))

    def write(number: int) -> None:
        with store.refusing(ANN), store.locked() as transaction:
            transaction.append("deleted", f"site-{number}/asr", ANN, after=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    found = verify_chain(_rows(store), store.trusted_keys())
    assert (found.faults, found.entries) == ((), before + 40)


def test_a_refusal_is_recorded_after_its_transaction_is_rolled_back(store: GuardedStore) -> None:
    before = _rows(store)[-1].seq
    with pytest.raises(Refusal, match="no, because"):
        _refused(store)
    (row,) = _rows(store)[before:]
    assert '"event":"refused"' in row.entry
    assert '"what":"try"' in row.entry


def _refused(store: GuardedStore) -> None:
    with store.refusing(ANN), store.locked() as transaction:
        transaction.append("promoted", str(SLOT), ANN, after=1)
        raise Attempt("try", SLOT.model_name, 1).refused("no, because")


def test_a_change_of_keys_is_the_first_thing_recorded(store: GuardedStore) -> None:
    before = _rows(store)[-1].seq
    rotate_key(store.trusted_keys().folder, "ledger")
    with store.locked() as transaction:
        transaction.append("deleted", str(SLOT), ANN)
    changed, after = _rows(store)[before:]
    assert '"event":"keys changed"' in changed.entry
    assert '"event":"deleted"' in after.entry
    assert verify_chain(_rows(store), store.trusted_keys()).whole


def test_without_a_key_for_the_ledger_nothing_is_written(store: GuardedStore) -> None:
    before, keys = len(_rows(store)), store.trusted_keys().folder
    retire_key(keys, "ledger")
    with (
        pytest.raises(MlflowException, match="no private key for the role ledger; make one: elp keys new"),
        store.locked(),
    ):
        pass
    assert len(_rows(store)) == before


@pytest.mark.parametrize(("variable", "replica"), [("true", None), ("false", "sqlite:///other.db")])
def test_workspaces_and_replicas_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, replica: str | None
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", variable)
    with pytest.raises(MlflowException, match="supports neither MLflow workspaces nor a read replica"):
        GuardedStore(f"elp+sqlite:///{tmp_path / 'mlflow.db'}", replica)
