from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.index_file import FILE, opened
from pipelines.audit.learned import learned
from pipelines.audit.open_index import index_of
from pipelines.audit.server_index import sync
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.subject import Subject
from pipelines.errors import ServiceError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.ledger.entry import LedgerRow
from pipelines.registry.slot import Slot
from tests.support.audited import ASR, Ground, used
from tests.support.proof import ring
from tests.support.records import Recorded, champions

pytestmark = pytest.mark.integration
TABLES = ("release", "span", "clip", "used", "gap", "adapter", "reign")


@pytest.fixture
def copy(ground: Ground, tmp_path: Path) -> Workspace:
    """The workspace with everything in it, to be changed."""
    shutil.copytree(ground.workspace.root, tmp_path / "site", symlinks=True)
    shutil.rmtree(tmp_path / "site" / ".elp" / "cache", ignore_errors=True)
    return open_workspace(tmp_path / "site")


def _content(workspace: Workspace, records: Recorded) -> dict[str, Any]:
    """What the index says, without the numbers that depend on the order in which files were read."""
    with index_of(workspace, records, lambda line: None) as db:
        names = dict(db.execute("SELECT id, md5 FROM file"))
        rows = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    rows["span"] = [(slot, folder, names[file], *rest) for slot, folder, file, *rest in rows["span"]]
    rows["clip"] = [(names[file], *rest) for file, *rest in rows["clip"]]
    return {table: sorted(found, key=str) for table, found in rows.items()}


def _git(workspace: Workspace, *words: str) -> None:
    subprocess.run(["git", "-C", str(workspace.root), *words], check=True, capture_output=True)


def _drop(workspace: Workspace) -> None:
    drop_clips(workspace, ASR, Subject(speaker="ann"))


def _move_tag(workspace: Workspace) -> None:
    _git(workspace, "tag", "--force", ASR.tag(2), ASR.tag(1) + "^{commit}")


def _delete_tag(workspace: Workspace) -> None:
    _git(workspace, "tag", "--delete", ASR.tag(1))


@pytest.mark.parametrize("change", [_drop, _move_tag, _delete_tag])
def test_brought_up_to_date_step_by_step_it_equals_one_made_anew(
    ground: Ground, copy: Workspace, change: Callable[[Workspace], None]
) -> None:
    before = _content(copy, ground.records)
    change(copy)
    after = _content(copy, ground.records)
    (copy.state / FILE).unlink()
    fresh = _content(copy, ground.records)
    assert after != before
    # the clips of files that no version holds any more may stay: files never change
    assert set(fresh.pop("clip")) <= set(after.pop("clip"))
    assert after == fresh


def test_a_shard_is_read_once(ground: Ground, copy: Workspace) -> None:
    before = _content(copy, ground.records)
    shutil.rmtree(copy.root / ".elp" / "remote")
    shutil.rmtree(copy.root / ".dvc" / "cache")
    assert _content(copy, ground.records) == before


def test_the_digest_of_the_clips_used_is_that_of_training(ground: Ground, index: Connection, tmp_path: Path) -> None:
    found = dict(index.execute("SELECT slot || '/v' || version, digest FROM used"))
    slot, version = Slot("plant-a", "asr"), "v2"
    assert found["plant-a/asr/v2"] == used(ground.workspace, slot, version, tmp_path / "cache")
    assert len(found) == 3


def test_an_index_of_another_format_is_made_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        db.execute("DROP TABLE clip")
        db.execute("PRAGMA user_version = 99")
    with opened(tmp_path) as db:
        assert db.execute("SELECT COUNT(*) FROM clip").fetchone() == (0,)


def test_another_ledger_than_the_one_seen_before_is_told_and_read_anew(tmp_path: Path) -> None:
    told: list[str] = []
    slot, keys = Slot("a", "asr"), ring(tmp_path)
    with opened(tmp_path) as db:
        for version in (1, 2):
            records = Recorded(keys)
            champions(records, slot, [("promoted", None, version, "02")])
            sync(db, records, told.append)
            assert db.execute("SELECT version FROM reign").fetchall() == [(version,)]
    assert ["is not the one seen before (entry 1)" in line for line in told] == [True]


def test_an_entry_that_cannot_be_read_is_left_to_the_verification(tmp_path: Path) -> None:
    records = Recorded(ring(tmp_path))
    champions(records, Slot("a", "asr"), [("promoted", None, 1, "02"), ("promoted", 1, 2, "03")])
    records.rows[0] = LedgerRow(1, "{", *[getattr(records.rows[0], name) for name in ("hash", "envelope")])
    with opened(tmp_path) as db:
        sync(db, records, print)
        assert db.execute("SELECT version FROM reign").fetchall() == [(2,)]


def test_without_the_server_it_says_so_and_stays_as_it_was(ground: Ground, copy: Workspace) -> None:
    class Gone(Recorded):
        def ledger(self, after: int = 0, slot: str = "") -> Any:
            raise ServiceError("no MLflow server answers; start it with: elp up")

    before = _content(copy, ground.records)
    with (
        pytest.raises(ServiceError, match="start it with: elp up"),
        index_of(copy, Gone(ground.records.ring), print),
    ):
        pass
    assert _content(copy, ground.records) == before


def test_a_quarantined_recording_of_a_speaker_is_found(ground: Ground, copy: Workspace, tmp_path: Path) -> None:
    from pipelines.datasets.ingest import add_delivery
    from tests.support.deliveries import silence, write_delivery

    slot = Slot("plant-q", "asr")
    add_delivery(copy, slot, write_delivery(tmp_path / "in", each=4, anna_1={"bytes": silence()}))
    with index_of(copy, ground.records, print) as db:
        held = {one.kind: one.clips for one in learned(db, Subject(speaker="anna"), slot).held}
    assert held == {"data": 3, "quarantine": 1}
