from __future__ import annotations

import errno
import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.data_index import FILE, open_index, opened, used_digests
from pipelines.audit.trained_on import find_trained_on
from pipelines.datasets.dataset_version import SHARDS
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.dvc import DvcRemote, dvc_remote, metafile, tracked_hash
from pipelines.datasets.subject import Subject
from pipelines.errors import DataRemoteAway
from pipelines.local import git
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from pipelines.retention.subject_files import read_unknown
from tests.support.audited import ASR, ASV, Ground, used

pytestmark = pytest.mark.integration
TABLES = ("release", "span", "clip", "gap", "used")
TAGS = (ASR.tag(1), ASR.tag(2), ASR.tag(3), ASV.tag(1))


@pytest.fixture
def copy(ground: Ground, tmp_path: Path) -> Workspace:
    """The workspace with everything in it, to be changed."""
    shutil.copytree(ground.workspace.root, tmp_path / "site", symlinks=True)
    shutil.rmtree(tmp_path / "site" / ".elp" / "cache", ignore_errors=True)
    return open_workspace(tmp_path / "site")


def _content(workspace: Workspace) -> dict[str, Any]:
    """What the index says, without the numbers that depend on the order in which files were read."""
    with open_index(workspace, lambda line: None) as db:
        used_digests(db, TAGS)
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
def test_an_index_updated_step_by_step_equals_one_built_at_once(
    copy: Workspace, change: Callable[[Workspace], None]
) -> None:
    before = _content(copy)
    change(copy)
    after = _content(copy)
    (copy.state / FILE).unlink()
    fresh = _content(copy)
    assert after != before
    # the clips of files that no version holds any more may stay: files never change
    assert set(fresh.pop("clip")) <= set(after.pop("clip"))
    assert after == fresh


def test_a_shard_is_read_once(copy: Workspace) -> None:
    before = _content(copy)
    shutil.rmtree(copy.root / ".elp" / "remote")
    shutil.rmtree(copy.root / ".dvc" / "cache")
    assert _content(copy) == before


def _refuse(workspace: Workspace, patch: pytest.MonkeyPatch) -> None:
    def listing(stored: DvcRemote, folder: str) -> dict[str, str]:
        raise DataRemoteAway(f"{stored.address} refuses the connection")

    patch.setattr(DvcRemote, "listing", listing)


def _unmount(workspace: Workspace, patch: pytest.MonkeyPatch) -> None:
    shutil.move(workspace.root / ".elp" / "remote", workspace.root / "away")
    shutil.rmtree(workspace.root / ".dvc" / "cache")


@pytest.mark.parametrize("begin", [_refuse, _unmount])
def test_an_outage_makes_no_gap(copy: Workspace, begin: Callable[[Workspace, pytest.MonkeyPatch], None]) -> None:
    before = _content(copy)
    (copy.state / FILE).unlink()
    with pytest.MonkeyPatch.context() as patch:
        begin(copy, patch)
        with pytest.raises(DataRemoteAway, match=r"refuses the connection|is not there; if it is a share, mount it"):
            _content(copy)
    if (copy.root / "away").is_dir():
        shutil.move(copy.root / "away", copy.root / ".elp" / "remote")
    assert _content(copy) == before


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("lost", ["listing", "shard"])
def test_a_gap_ends_when_the_files_are_back(copy: Workspace, version: int, lost: str, tmp_path: Path) -> None:
    before = _content(copy)
    with dvc_remote(copy.root, remote_only=True) as stored:
        revision = git.resolve(copy.root, ASR.tag(version))
        md5 = tracked_hash(git.show(copy.root, revision, metafile(ASR.folder / SHARDS))).removeprefix("md5:")
        if lost == "shard":
            # the last one, so that the others are read
            md5 = list(stored.listing(md5).values())[-1]
        place = Path(stored.place(md5))
    (copy.state / FILE).unlink()
    shutil.rmtree(copy.root / ".dvc" / "cache")
    shutil.move(place, tmp_path / "lost")
    gaps = {tag for tag, *_ in _content(copy)["gap"]}
    assert ASR.tag(version) in gaps
    assert {tag for tag, *_ in _content(copy)["gap"]} == gaps
    shutil.move(tmp_path / "lost", place)
    with pytest.MonkeyPatch.context() as patch:
        _fail_reads(patch, ConnectionResetError(errno.ECONNRESET, "reset"))
        assert {tag for tag, *_ in _content(copy)["gap"]} == gaps
    assert _content(copy) == before


class _Failing(io.BytesIO):
    """A shard whose storage gives its first bytes at most, then an error."""

    def __init__(self, good: int, error: OSError) -> None:
        super().__init__(b"PAR1" + bytes(99))
        self.good, self.error = good, error

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.good:
            raise self.error
        self.good -= 1
        return super().read(size)


def _fail_reads(patch: pytest.MonkeyPatch, error: OSError, good: int = 0) -> None:
    patch.setattr(DvcRemote, "open", lambda stored, md5: _Failing(good, error))


@pytest.mark.parametrize("good", [0, 1])
def test_a_read_that_fails_is_an_outage_or_leaves_the_file_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    stored, md5, said = DvcRemote(None, None), "a" * 32, list[str]()
    with opened(tmp_path) as db:
        _fail_reads(monkeypatch, OSError(errno.EIO, "broken"), good)
        assert read_unknown(db, stored, [md5], (), said.append) == {md5}
        assert f"MD5 {md5}" in said[-1]
        assert "cannot be read, so it is not known who is in it: [Errno 5] broken; restore it from a backup" in said[-1]
        _fail_reads(monkeypatch, ConnectionResetError(errno.ECONNRESET, "reset"), good)
        with pytest.raises(DataRemoteAway, match="try again when the DVC remote answers"):
            read_unknown(db, stored, [md5], (), said.append)


def test_the_digest_of_the_clips_used_is_that_of_training(ground: Ground, index: Connection, tmp_path: Path) -> None:
    found = used_digests(index, TAGS)
    assert found[ASR.tag(2)] == used(ground.workspace, ASR, "v2", tmp_path / "cache")
    assert set(found) == {ASR.tag(1), ASR.tag(2), ASV.tag(1)}


def test_an_index_of_the_first_format_with_the_servers_records_is_built_again(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        db.execute("DROP TABLE clip")
        db.execute("CREATE TABLE reign (slot TEXT)")
        db.execute("PRAGMA user_version = 1")
    with opened(tmp_path) as db:
        assert db.execute("SELECT COUNT(*) FROM clip").fetchone() == (0,)
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'reign'").fetchone() is None


def test_a_quarantined_recording_of_a_speaker_is_found(ground: Ground, copy: Workspace, tmp_path: Path) -> None:
    from pipelines.datasets.ingest import add_delivery
    from tests.support.deliveries import silence, write_delivery

    slot = Slot("plant-q", "asr")
    add_delivery(copy, slot, write_delivery(tmp_path / "in", each=4, anna_1={"bytes": silence()}))
    with open_index(copy, print) as db:
        found = find_trained_on(db, ground.records, Subject(speaker="anna"), slot)
    assert {one.kind: one.clips for one in found.holdings} == {"data": 3, "quarantine": 1}
