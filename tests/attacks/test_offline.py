"""An attacker with the database itself: the guard cannot stop that, but the audit finds it and names the entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from pipelines.audit.checks.ledger_checks import check_champion, check_ledger
from pipelines.registry.ledger.entry import LedgerRow, read_entry, sign_entry
from pipelines.registry.signing import key_folder
from pipelines.registry.signing.keys import KeyRing
from pipelines.server.ledger import HEAD, LEDGER
from tests.support.contest import CHAMPION, FAILED, PASSED, UNGATED, Contest
from tests.support.database_snapshot import DatabaseSnapshot, check_snapshot, database, read_snapshot, run
from tests.support.guarded_server import GuardedServer
from tests.support.versions_by_hand import ARTIFACTS


@contextmanager
def _rewritten(server: GuardedServer, rows: tuple[LedgerRow, ...]) -> Iterator[DatabaseSnapshot]:
    """The ledger's table with other rows in it, for a moment; the head row says what the last one is."""
    before = read_snapshot(server)
    _store(server, before, rows)
    try:
        yield read_snapshot(server)
    finally:
        _store(server, DatabaseSnapshot(rows, {}), before.rows)


def _store(server: GuardedServer, old: DatabaseSnapshot, rows: tuple[LedgerRow, ...]) -> None:
    kept = {row.seq: row for row in rows}
    same = {row.seq for row in old.rows if kept.get(row.seq) == row}
    with database(server) as connection:
        for row in old.rows:
            if row.seq not in same:
                connection.execute(delete(LEDGER).where(LEDGER.c.seq == row.seq))
        new = [_values(row) for row in rows if row.seq not in same]
        if new:
            connection.execute(insert(LEDGER), new)
        connection.execute(update(HEAD).values(seq=rows[-1].seq, hash=rows[-1].hash))


def _values(row: LedgerRow) -> dict[str, Any]:
    entry = json.loads(row.entry)
    columns: dict[str, Any] = {name: str(entry.get(name, "")) for name in ("at", "slot", "event")}
    columns |= {"before_version": entry.get("from"), "after_version": entry.get("to")}
    return {**columns, "seq": row.seq, "entry": row.entry, "hash": row.hash, "envelope": row.envelope}


def _trouble(server: GuardedServer, snapshot: DatabaseSnapshot) -> dict[int, set[str]]:
    """What is wrong, by the number of the entry."""
    found: dict[int, set[str]] = {}
    for fault in check_snapshot(server, snapshot).faults:
        found.setdefault(fault.seq, set()).add(fault.trouble)
    return found


def _other_reason(row: LedgerRow) -> str:
    return row.entry.replace('"reason":"it passed"', '"reason":"it failed"')


def _promotion(contest: Contest, snapshot: DatabaseSnapshot) -> int:
    """Place among the rows of the slot's last promotion."""
    return next(n for n, row in enumerate(snapshot.rows) if row.seq == snapshot.moves(contest.slot)[-1].seq)


def test_an_entry_edited(contest: Contest) -> None:
    snapshot = read_snapshot(contest.server)
    place = _promotion(contest, snapshot)
    row = snapshot.rows[place]
    edited = LedgerRow(row.seq, _other_reason(row), row.hash, row.envelope)
    with _rewritten(contest.server, (*snapshot.rows[:place], edited, *snapshot.rows[place + 1 :])) as found:
        assert "edited" in _trouble(contest.server, found)[row.seq]


@pytest.mark.parametrize("role", ["untrusted", "verdict"])
def test_an_entry_edited_and_signed_with_another_key(contest: Contest, tmp_path: Path, role: str) -> None:
    snapshot = read_snapshot(contest.server)
    place = _promotion(contest, snapshot)
    entry = read_entry(_other_reason(snapshot.rows[place]))
    if role == "untrusted":
        ring = key_folder.ensure_keys(tmp_path)
    else:
        # the attacker may gate: the key is trusted, but not for the ledger
        (key,) = contest.keys.active("verdict")
        ring = KeyRing((replace(key, roles=("ledger",)),), contest.keys.folder)
    forged = sign_entry(entry, ring)
    with _rewritten(contest.server, (*snapshot.rows[:place], forged, *snapshot.rows[place + 1 :])) as found:
        faults = [str(fault) for fault in check_snapshot(contest.server, found).faults]
    assert any(f"entry {entry.seq}" in fault and "untrusted key" in fault for fault in faults), faults


@pytest.mark.both_databases
def test_the_tail_cut(contest: Contest) -> None:
    snapshot = read_snapshot(contest.server)
    with _rewritten(contest.server, snapshot.rows[:-3]) as found:
        assert _trouble(contest.server, found) == {snapshot.rows[-3].seq: {"cut"}}


@pytest.mark.both_databases
def test_the_tail_cut_and_new_entries_appended(own_contest: Contest) -> None:
    """The server writes new entries with the numbers of the lost ones: the checkpoint has another hash there."""
    contest = own_contest
    snapshot = read_snapshot(contest.server)
    with _rewritten(contest.server, snapshot.rows[:-3]):
        for _ in range(4):
            contest.alias(UNGATED).must_be(403, "was never gated")
        found = read_snapshot(contest.server)
        trouble = _trouble(contest.server, found)
        # what came meanwhile goes with it: the next test finds the ledger that was
        for row in found.rows[len(snapshot.rows) - 3 :]:
            run(contest.server, "delete from elp_ledger where seq = :seq", seq=row.seq)
    assert any({"rewritten", "cut"} & kinds for kinds in trouble.values()), trouble


def test_an_entry_taken_out_of_the_middle(contest: Contest) -> None:
    snapshot = read_snapshot(contest.server)
    place = _promotion(contest, snapshot)
    with _rewritten(contest.server, (*snapshot.rows[:place], *snapshot.rows[place + 1 :])) as found:
        assert "cut" in _trouble(contest.server, found)[snapshot.rows[place].seq]


def test_two_entries_swapped(contest: Contest) -> None:
    snapshot = read_snapshot(contest.server)
    place = _promotion(contest, snapshot)
    one, other = snapshot.rows[place - 1], snapshot.rows[place]
    swapped = (
        LedgerRow(one.seq, other.entry, other.hash, other.envelope),
        LedgerRow(other.seq, one.entry, one.hash, one.envelope),
    )
    with _rewritten(contest.server, (*snapshot.rows[: place - 1], *swapped, *snapshot.rows[place + 1 :])) as found:
        assert set(_trouble(contest.server, found)) >= {one.seq, other.seq}


def test_a_whole_chain_signed_by_the_attacker(contest: Contest, tmp_path: Path) -> None:
    """Everything written again from the first entry on, consistently, with a key of the attacker's."""
    ring, forged, prev = key_folder.ensure_keys(tmp_path), [], "0" * 64
    snapshot = read_snapshot(contest.server)
    for row in snapshot.rows:
        values = json.loads(_other_reason(row)) | {"prev": prev}
        entry = read_entry(json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
        forged.append(sign_entry(entry, ring))
        prev = forged[-1].hash
    with _rewritten(contest.server, tuple(forged)) as found:
        trouble = _trouble(contest.server, found)
    assert "untrusted key" in trouble[1]


@contextmanager
def _edited(server: GuardedServer, table: str, column: str, value: Any, where: str, **values: Any) -> Iterator[None]:
    """One column of some rows with another value, for a moment."""
    before = run(server, f"select {column} from {table} where {where}", **values)
    assert before, f"no row of {table} where {where} {values}"
    run(server, f"update {table} set {column} = :new where {where}", new=value, **values)
    try:
        yield
    finally:
        run(server, f"update {table} set {column} = :new where {where}", new=before[0][0], **values)


@pytest.mark.both_databases
def test_the_alias_row_edited(contest: Contest) -> None:
    where = {"where": "name = :name and alias = 'champion'", "name": contest.model}
    with _edited(contest.server, "registered_model_aliases", "version", FAILED, **where):
        snapshot = read_snapshot(contest.server)
        witness = check_ledger(snapshot.rows, contest.keys, None)
        fact = check_champion(witness, contest.slot, snapshot.aliases[(contest.model, "champion")])
        assert (fact.state, fact.value) == ("failed", f"v{FAILED}")
        # nor does the guard take the edited row for granted: what was gated against the true champion does not count
        contest.refused(contest.alias(PASSED), "passed against v2", "but now there is v4")


@pytest.mark.both_databases
@pytest.mark.parametrize("column", ["outcome", "bundle", "fingerprint"])
def test_a_row_of_the_statements_edited(contest: Contest, column: str) -> None:
    value = {"outcome": "passed", "bundle": contest.made[CHAMPION].bundle, "fingerprint": "sha256:" + "0" * 64}[column]
    where = {"where": "model = :model and version = :version and kind = 'verdict'", "model": contest.model}
    with _edited(contest.server, "elp_statements", column, value, **where, version=FAILED):
        contest.refused(contest.alias(FAILED), "the gate's verdict is failed")


def test_a_failed_verdict_replaced_by_anothers_pass(contest: Contest) -> None:
    text = run(
        contest.server,
        "select envelope from elp_statements where model = :model and version = :version and kind = 'verdict'",
        model=contest.model,
        version=PASSED,
    )[0][0]
    where = {"where": "model = :model and version = :version and kind = 'verdict'", "model": contest.model}
    with _edited(contest.server, "elp_statements", "envelope", text, **where, version=FAILED):
        contest.refused(contest.alias(FAILED), "does not count: the stored row is about another statement")


def test_a_verdict_moved_to_another_version(contest: Contest) -> None:
    where = {"where": "model = :model and version = :version and kind = 'verdict'", "model": contest.model}
    with _edited(contest.server, "elp_statements", "version", UNGATED, **where, version=PASSED):
        contest.refused(contest.alias(UNGATED), "v5 is about", "v3; gate it again")
        run(
            contest.server,
            "update elp_statements set version = :old where model = :model and version = :new and kind = 'verdict'",
            old=PASSED,
            new=UNGATED,
            model=contest.model,
        )


def test_the_location_of_a_version_edited(contest: Contest) -> None:
    """The alias stays, the bytes behind it are others: the champion's, copied to an unguarded folder."""
    place = f"mlflow-artifacts:/{contest.made[FAILED].folder}"
    where = {"where": "name = :name and version = :version", "name": contest.model}
    with _edited(contest.server, "model_versions", "storage_location", place, **where, version=PASSED):
        contest.refused(contest.alias(PASSED), "were changed: they hash to")


def test_the_list_of_frozen_folders_emptied(own_contest: Contest) -> None:
    """Then the bytes can be overwritten, and the hash at the moment of promotion finds it."""
    contest = own_contest
    run(contest.server, "delete from elp_frozen where model = :model", model=contest.model)
    contest.rest("PUT", f"{ARTIFACTS}/{contest.made[PASSED].tensors}", body=b"other bytes").must_be(200)
    contest.refused(contest.alias(PASSED), f"{contest.slot} v3")
    assert contest.champion() == CHAMPION
