"""What the pages read, on both databases and as records change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.ledger.entry import Event, LedgerEntry
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.slot import Slot
from pipelines.server.ledger import LEDGER, STATEMENTS
from pipelines.server.read_models import dependents
from pipelines.server.read_models.adapter_history import champion_periods, champions_at, registered_adapters
from pipelines.server.read_models.backbone_change import read_backbone_facts
from pipelines.server.read_models.grid import find_contender, is_stale, read_grid
from pipelines.server.read_models.signed_records import RecordedVerdict, entry_at, verdicts
from pipelines.server.read_models.slot_page import read_slot_page, rolled_back
from pipelines.server.stores.registry_store import GuardedStore
from tests.support.environment import lasting
from tests.support.new_databases import new_mlflow_database
from tests.support.postgres import postgres_server
from tests.support.registry_rows import FINGERPRINT, WHO, fill, verdict

SLOTS = [Slot("plant-a", "asr"), Slot("plant-a", "asv"), Slot("plant-b", "asr")]
HERE = SLOTS[0]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A registry of three slots with five versions each; tests change nothing that they do not put back."""
    folder = tmp_path_factory.mktemp("read")
    ensure_keys(folder / "keys")
    lasting(ELP_KEYS=str(folder / "keys"))
    if request.param == "sqlite":
        new_mlflow_database(folder / "mlflow.db")
        yield _filled(f"sqlite:///{folder / 'mlflow.db'}", folder)
        return
    with postgres_server() as cluster:
        made = _filled(cluster.database("read"), folder)
        yield made
        made.dispose()


def _filled(uri: str, folder: Path) -> sa.Engine:
    SqlAlchemyStore(uri, str(folder / "artifacts"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELP_KEYS", str(folder / "keys"))
        engine: sa.Engine = GuardedStore(f"elp+{uri}").engine
    fill(engine, SLOTS, 5)
    return engine


@pytest.mark.integration
def test_the_grid_holds_every_slot_with_champion_challenger_and_run(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        found = read_grid(connection, connection)
    assert [cell.slot for cell in found.cells] == SLOTS
    cell = found.cells[0]
    assert cell.champion
    assert cell.contender
    assert cell.judged
    assert cell.run
    assert (cell.champion.version, cell.contender.version, cell.verdict, cell.stale) == (4, 5, "passed", False)
    assert (cell.judged.statement.challenger, cell.run.status) == (0.075, "FINISHED")
    assert cell.drift
    assert (cell.drift.change, cell.drift.now.statement.version, cell.drift.other_golden) == (0.0, 5, False)
    assert (found.waiting, found.backbones) == (3, (("elp:tiny", FINGERPRINT, 3),))


@pytest.mark.integration
def test_a_champion_that_no_later_verdict_measured_has_no_drift(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        last = (STATEMENTS.c.model == HERE.model_name, STATEMENTS.c.version == 5, STATEMENTS.c.kind == "verdict")
        connection.execute(sa.delete(STATEMENTS).where(*last))
        found, page = read_grid(connection, connection), read_slot_page(connection, HERE)
        connection.rollback()
    assert page
    assert page.drift is None
    assert [cell.drift is None for cell in found.cells] == [True, False, False]


@pytest.mark.integration
def test_a_slots_page_holds_history_predecessor_and_ledger(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        page = read_slot_page(connection, HERE)
        older = read_slot_page(connection, HERE, before=page.ledger[-1].seq if page else 0)
        missing = read_slot_page(connection, Slot("plant-z", "asr"))
    assert page
    assert older
    assert [entry.after for entry in page.changes] == [4, 2, 1]
    assert page.drift
    assert (page.drift.then.statement.version, page.drift.now.statement.version) == (4, 5)
    assert (page.predecessor, page.since) == (2, page.changes[0].at)
    champion = page.row(4)
    assert champion
    assert not champion.stale, "it was compared with the champion before it, as it had to be"
    assert page.promotable == [(5, "passed"), (3, "failed against an older champion"), *page.promotable[2:]]
    assert [entry.event for entry in page.ledger[:3]] == ["gated", "registered", "promoted"]
    assert (older.ledger, missing) == ((), None)


@pytest.mark.integration
def test_a_rollback_skips_versions_that_served_by_an_override(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        made = (LEDGER.c.slot == str(HERE), LEDGER.c.event == "promoted", LEDGER.c.after_version == 2)
        text = connection.execute(sa.select(LEDGER.c.entry).where(*made)).scalar_one()
        changed = text.replace('"event":"promoted"', '"event":"overridden"')
        connection.execute(sa.update(LEDGER).where(*made).values(event="overridden", entry=changed))
        page = read_slot_page(connection, HERE)
        connection.rollback()
    assert page
    assert page.predecessor == 1


@pytest.mark.integration
def test_the_audit_gets_every_adapter_and_every_champion_period(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        first, last = registered_adapters(connection, limit=4)
        rest, _ = registered_adapters(connection, after=last)
        mine, _ = registered_adapters(connection, str(HERE), FINGERPRINT[:20])
        other, _ = registered_adapters(connection, fingerprint="sha256:%")
        periods = champion_periods(connection, str(HERE))
        now, without = champions_at(connection)
        before = champions_at(connection, "2000-01-01T00:00:00+00:00", str(HERE))
    assert (len(first), len(rest), other) == (4, 11, [])
    assert [adapter.version for adapter in mine] == [1, 2, 3, 4, 5]
    assert (mine[3].dataset, mine[3].revision, mine[3].backbone) == (HERE.tag(2), "a" * 40, "elp:tiny")
    assert (mine[3].clips_digest, mine[3].fingerprint, mine[3].deleted) == ("sha256:" + "c" * 64, FINGERPRINT, "")
    assert [(period.version, period.by) for period in periods] == [(1, "ann"), (2, "ann"), (4, "ann")]
    assert [period.until for period in periods] == [periods[1].since, periods[2].since, None]
    assert [(period.slot, period.version) for period in now] == [(str(slot), 4) for slot in SLOTS]
    assert (without, before) == ([], ([], [str(HERE)]))


def change(event: Event, before: int | None, after: int | None) -> LedgerEntry:
    return LedgerEntry(
        1, "0" * 64, "2026-01-01T00:00:00.000000+00:00", event, str(HERE), before, after, "", WHO, "worse"
    )


PROMOTED = [change("promoted", None, 1), change("promoted", 1, 2)]


@pytest.mark.parametrize(
    ("since", "gone"),
    [
        ([], []),
        ([change("rolled back", 2, 1)], [2]),
        ([change("rolled back", 2, 1), change("promoted", 1, 2)], []),
        ([change("rolled back", 2, 1), change("promoted", 1, 3), change("rolled back", 3, 1)], [2, 3]),
        ([change("retired", 2, None)], []),
        ([change("overridden", 2, 3), change("override expired", 3, 2)], []),
    ],
)
def test_a_rollback_is_known_until_the_version_is_promoted_again(since: list[LedgerEntry], gone: list[int]) -> None:
    assert sorted(rolled_back([*PROMOTED, *since][::-1])) == gone


@pytest.mark.integration
def test_the_adapters_of_a_backbone_are_listed_in_pages(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "PAGE", 4)
    with engine.connect() as connection:
        first = dependents.backbone_dependents(connection, FINGERPRINT)
        last = dependents.backbone_dependents(connection, FINGERPRINT, 12)
        beyond = dependents.backbone_dependents(connection, FINGERPRINT, 15)
    assert first
    assert last
    assert (first.total, first.champions, first.further, last.further, beyond) == (15, 3, 4, None, None)
    assert [one.version.version for one in first.dependents] == [4, 4, 4, 1]
    assert all(one.lineage for one in (*first.dependents, *last.dependents))


@pytest.mark.integration
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"payload": "e30="}', '{"payload": 3}'])
def test_a_damaged_statement_is_named_and_not_skipped(engine: sa.Engine, text: str) -> None:
    with engine.connect() as connection:
        kind = STATEMENTS.c.kind == "verdict"
        connection.execute(sa.update(STATEMENTS).where(kind, STATEMENTS.c.version == 5).values(envelope=text))
        with pytest.raises(AttestationError, match="a stored verdict is not one"):
            verdicts(connection, [(HERE.model_name, 5)])
        connection.rollback()


@pytest.mark.integration
def test_a_damaged_entry_is_named_and_not_skipped(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.execute(sa.update(LEDGER).where(LEDGER.c.seq == 1).values(entry='{"seq": 1}'))
        with pytest.raises(AttestationError, match="a stored ledger entry is not one"):
            entry_at(connection, 1)
        connection.rollback()


def judged(at: str, value: float, champion: tuple[int, str] | None = None) -> RecordedVerdict:
    made = verdict(HERE, 4, "sha256:" + "b" * 64, "passed", champion, datetime(2026, 1, 1, tzinfo=UTC))
    return RecordedVerdict("d", 1, "k", at, replace(made, challenger=value))


def test_a_verdict_against_another_champion_is_stale() -> None:
    serving = AdapterVersion(HERE, 2, "", "", "", aliases=("champion",))
    assert not is_stale(judged("", 0.1, (2, "sha256:" + "a" * 64)), serving)
    assert is_stale(judged("", 0.1, (1, "sha256:" + "a" * 64)), serving)
    assert is_stale(judged("", 0.1), serving)
    assert not is_stale(judged("", 0.1), None)


def test_the_contender_is_the_challenger_else_the_newest_after_the_champion() -> None:
    versions = [AdapterVersion(HERE, n, "", "", "", tags={"elp.status": "candidate"}) for n in (1, 2, 3, 4)]
    champion, named = replace(versions[1], aliases=("champion",)), replace(versions[0], aliases=("challenger",))
    assert find_contender([champion, *versions[2:]], champion) == versions[3]
    assert find_contender([champion, named, *versions[2:]], champion) == named
    assert find_contender([champion], champion) is None


@pytest.mark.integration
def test_the_facts_for_another_backbone_are_those_of_the_champions_of_the_sites(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        found = read_backbone_facts(connection, "org/new", ["plant-a"])
        same = read_backbone_facts(connection, FINGERPRINT)
    assert [(one.name, one.fingerprint) for one in found.champions] == [
        ("plant-a/asr v4", FINGERPRINT),
        ("plant-a/asv v4", FINGERPRINT),
    ]
    assert (found.versions, found.fingerprints, found.rates) == (15, (), {})
    assert (len(same.champions), same.fingerprints) == (3, (FINGERPRINT,))
