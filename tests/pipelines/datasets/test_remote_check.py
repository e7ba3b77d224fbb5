"""A DVC remote that lost files: pushed again before the next delivery, or a refusal; `elp doctor` sees it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipelines.datasets.dvc import dvc_remote
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.remote_check import lost_files, push_lost_files
from pipelines.datasets.remote_finding import examine_remote
from pipelines.datasets.versions import load_golden, load_split
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import silence, write_delivery

pytestmark = pytest.mark.integration
ASR = Slot("plant-a", "asr")


@pytest.fixture
def remote(workspace: Workspace, tmp_path: Path) -> Path:
    """A remote with one version, one golden set and one quarantined clip."""
    add_delivery(workspace, ASR, write_delivery(tmp_path / "one", each=4, anna_0={"bytes": silence()}))
    return workspace.root / ".elp" / "remote"


def _files(remote: Path) -> set[str]:
    return {path.relative_to(remote).as_posix() for path in remote.rglob("*") if path.is_file()}


def _empty(remote: Path, backup: Path) -> None:
    remote.rename(backup)
    remote.mkdir()


def test_an_emptied_remote_is_filled_again_before_the_next_delivery(
    workspace: Workspace, remote: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = _files(remote)
    _empty(remote, tmp_path / "away")
    assert examine_remote(workspace)[0] == "fail"
    made = add_delivery(workspace, ASR, write_delivery(tmp_path / "two", seed=1))
    assert before <= _files(remote)
    assert f"had lost {len(before)} files of plant-a/asr; they were pushed again" in caplog.text
    assert examine_remote(workspace)[0] == "ok"
    git.git(tmp_path, "clone", "--quiet", str(workspace.root), "clone")
    (tmp_path / "clone" / ".elp").mkdir()
    (tmp_path / "clone" / ".elp" / "remote").symlink_to(remote)
    clone = str(tmp_path / "clone")
    assert len(load_split(clone, made.tag, ASR, None, tmp_path / "cache")) == 15 + 12
    assert len(load_golden(clone, "latest", ASR, tmp_path / "cache").clips) == 4


@pytest.mark.parametrize("harm", ["removed", "emptied", "cut off"])
def test_one_lost_file_is_found_although_the_listing_is_there(workspace: Workspace, remote: Path, harm: str) -> None:
    whole = {path: path.read_bytes() for path in remote.rglob("*") if path.is_file()}
    for path, content in whole.items():
        path.chmod(0o644)
        if harm == "removed":
            path.unlink()
        else:
            # not in place: DVC may have linked the file to its cache
            path.unlink()
            path.write_bytes(b"" if harm == "emptied" else content[:-1])
        assert len(lost_files(workspace, [ASR])[ASR]) == 1
        assert push_lost_files(workspace, ASR) == 1
        assert path.read_bytes() == content
    assert push_lost_files(workspace, ASR) == 0


def test_without_a_copy_here_nothing_is_taken_in(workspace: Workspace, remote: Path, tmp_path: Path) -> None:
    _empty(remote, tmp_path / "away")
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    revision = git.resolve(workspace.root)
    # the folders' files are still here, their listings are nowhere
    says = r"the DVC remote .* lost 3 files of the newest version of plant-a/asr, .* restore the remote from a backup"
    with pytest.raises(VersioningError, match=says) as caught:
        add_delivery(workspace, ASR, write_delivery(tmp_path / "two", seed=1))
    assert "\n" not in str(caught.value)
    assert git.resolve(workspace.root) == revision
    assert _files(remote) == set()


def test_the_files_in_the_workspace_stand_in_for_the_cache(workspace: Workspace, remote: Path) -> None:
    before = _files(remote)
    cache = workspace.root / ".dvc" / "cache" / "files" / "md5"
    for path in [path for path in remote.rglob("*") if path.is_file() and path.suffix != ".dir"]:
        path.unlink()
        (cache / path.parent.name / path.name).unlink()
    assert push_lost_files(workspace, ASR) == 3
    assert _files(remote) == before


def test_an_altered_copy_is_not_pushed(workspace: Workspace, remote: Path) -> None:
    (shard,) = (workspace.root / ASR.folder / "shards").glob("*.parquet")
    (listed,) = [name for name in lost_files_of(workspace) if name.endswith(shard.name)]
    with dvc_remote(workspace.root) as stored:
        cached = stored.cached(lost_files_of(workspace)[listed])
    assert cached is not None
    for path in (cached, shard):
        path.chmod(0o644)
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    _empty(remote, remote.with_name("away"))
    with pytest.raises(VersioningError, match=f"no intact copy .the first is {ASR.folder}/shards/{shard.name}"):
        push_lost_files(workspace, ASR)


def lost_files_of(workspace: Workspace) -> dict[str, str]:
    """Path and MD5 of every file that the remote should have."""
    from pipelines.datasets.remote_check import stored_names

    with dvc_remote(workspace.root) as stored:
        return {str(name.path): name.md5 for name in stored_names(workspace, ASR, stored)}


def test_the_doctor_makes_no_folder_and_writes_no_file(workspace: Workspace, tmp_path: Path) -> None:
    place = workspace.root / ".elp" / "remote"
    shutil.rmtree(place, ignore_errors=True)
    outcome, detail, _ = examine_remote(workspace)
    assert (outcome, place.exists()) == ("ok", False)
    assert "the first delivery makes the folder" in detail
    add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    place.rename(tmp_path / "away")
    outcome, detail, remedy = examine_remote(workspace)
    assert (outcome, place.exists()) == ("fail", False)
    assert "lacks files of the newest version or golden set of plant-a/asr (4)" in detail
    assert "dvc push --all-tags" in remedy


def test_a_remote_that_cannot_be_made_fails(workspace: Workspace) -> None:
    place = workspace.root / ".elp" / "remote"
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("a file, so that no folder can be made")
    assert examine_remote(workspace)[:2] == ("fail", f"{place} cannot be written ({place})")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_remote_that_cannot_be_written_fails(workspace: Workspace, remote: Path) -> None:
    remote.chmod(0o500)
    assert examine_remote(workspace)[0] == "fail"
    remote.chmod(0o700)


def test_the_check_names_every_missing_file_of_many(workspace: Workspace, remote: Path) -> None:
    wanted = {f"{number:032x}" for number in range(20_000)}
    with dvc_remote(workspace.root) as stored:
        assert len(stored.missing(wanted)) == 20_000
