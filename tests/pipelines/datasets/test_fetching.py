"""Files of a version come from the DVC cache or remote by their hash: what is refused, and that no index is made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.repo.index import Index

from pipelines.datasets import dvc, file_cache
from pipelines.datasets.dataset_version import SHARDS
from pipelines.datasets.ingest import add_delivery
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.dvc_repository import dvc_config, dvc_repository
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import write_delivery
from tests.support.workspaces import Site

pytestmark = pytest.mark.integration
FOLDER = Path("data/plant-a/asr/shards")


@pytest.fixture
def remote(workspace: Workspace) -> Path:
    """The remote, a folder, of a workspace with a tracked, pushed folder of two files; nothing is in DVC's cache."""
    folder = workspace.root / FOLDER
    folder.mkdir(parents=True)
    for letter in "ab":
        (folder / f"{letter}.parquet").write_bytes(letter.encode() * 5000)
    dvc.track(workspace.root, [FOLDER])
    dvc.push(workspace.root, [FOLDER])
    git.commit(workspace.root, [dvc.metafile(FOLDER)], "Add a version")
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    return workspace.state / "remote" / "files" / "md5"


def _stored(remote: Path, listing: bool) -> Path:
    return next(path for path in sorted(remote.rglob("*")) if path.is_file() and (path.suffix == ".dir") == listing)


def _change(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_folder_comes_from_the_remote_by_name(workspace: Workspace, remote: Path, tmp_path: Path) -> None:
    fetched = file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, tmp_path / "cache")
    assert [path.read_bytes()[:1] for path in fetched] == [b"a", b"b"]
    shutil.rmtree(remote)
    assert file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, tmp_path / "cache") == fetched


@pytest.mark.parametrize(
    ("listing", "content", "message"),
    [
        (
            False,
            None,
            r"DVC could not fetch in .*: the DVC remote holds no file [0-9a-f]{32}; if elp gc moved it .*undo",
        ),
        (False, b"", r"fetched with the MD5 d41d8cd98f00b204e9800998ecf8427e, expected [0-9a-f]{32}"),
        (False, b"a" * 4999 + b"b", r"[ab]\.parquet was fetched with the MD5 .*the remote's file was changed"),
        (True, None, r"DVC could not fetch in .*: the DVC remote holds no file [0-9a-f]{32}\.dir"),
        (True, b"", r"the listing [0-9a-f]{32}\.dir of the DVC remote was changed"),
        (True, b'[{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "a.parquet"}]', r"remote was changed"),
    ],
    ids=["file missing", "file emptied", "file altered", "listing missing", "listing emptied", "listing altered"],
)
def test_a_damaged_remote_is_refused_and_nothing_is_kept(
    workspace: Workspace, remote: Path, tmp_path: Path, listing: bool, content: bytes | None, message: str
) -> None:
    path, cache = _stored(remote, listing), tmp_path / "cache"
    whole = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        _change(path, content)
    with pytest.raises(VersioningError, match=message):
        file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, cache)
    assert not (cache / "sets").exists()
    path.unlink(missing_ok=True)
    path.write_bytes(whole)
    assert len(file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, cache)) == 2


def test_an_interrupted_fetch_keeps_whole_files_only(
    workspace: Workspace, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, download, wanted = tmp_path / "cache", dvc.DvcRemote.download, list[str]()

    def die_at_the_second(stored: dvc.DvcRemote, md5: str, target: Path) -> None:
        wanted.append(md5)
        download(stored, md5, target)
        if len(wanted) == 2:
            target.write_bytes(target.read_bytes()[:100])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dvc.DvcRemote, "download", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, cache)
    assert [path.read_bytes() for path in cache.rglob("*.parquet")] == [b"a" * 5000]
    assert [path.stat().st_size for path in file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, cache)] == [
        5000
    ] * 2


def test_a_folder_of_a_git_address_comes_from_its_remote(workspace: Workspace, remote: Path, tmp_path: Path) -> None:
    config = workspace.root / ".dvc" / "config"
    config.write_text(config.read_text().replace("url = ", f"url = {remote.parents[1]}\n    #"))
    git.commit(workspace.root, [Path(".dvc/config")], "Name the remote's folder")
    bare = tmp_path / "bare.git"
    git.git(tmp_path, "clone", "--quiet", "--bare", str(workspace.root), str(bare))
    fetched = file_cache.fetch_folder(f"file://{bare}", "HEAD", FOLDER, tmp_path / "cache")
    assert [path.read_bytes()[:1] for path in fetched] == [b"a", b"b"]


@pytest.mark.parametrize("former", ["ssh://elp@former/srv/data", "s3://former/data"])
def test_a_version_from_before_a_move_of_the_remote_is_read_where_the_remote_is_now(
    workspace: Workspace, remote: Path, tmp_path: Path, former: str
) -> None:
    config, now = workspace.root / ".dvc" / "config", dvc_config(str(remote.parents[1]))
    config.write_text(dvc_config(former, "http://former:9000"))
    old = git.commit(workspace.root, [Path(".dvc/config")], "The remote of that time")
    config.write_text(now.replace("storage", "archive"))
    git.commit(workspace.root, [Path(".dvc/config")], "Move the data to a remote of another kind and name")
    bare = tmp_path / "bare.git"
    git.git(tmp_path, "clone", "--quiet", "--bare", str(workspace.root), str(bare))
    for repository in (str(workspace.root), f"file://{bare}"):
        cache = tmp_path / "caches" / Path(repository).name
        fetched = file_cache.fetch_folder(repository, old, FOLDER, cache)
        assert [path.read_bytes()[:1] for path in fetched] == [b"a", b"b"]


def test_no_file_of_another_slot_is_read(
    workspace: Workspace, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's index of the whole workspace costs seconds with some hundred slots."""
    other = workspace.root / "data" / "plant-b" / "asr"
    other.mkdir(parents=True)
    # DVC refuses it whenever it is read
    (other / "shards.dvc").write_text("no YAML: [")
    read, from_file = list[str](), Index.from_file

    def noted(repo: Any, path: str) -> Any:
        read.append(Path(path).relative_to(workspace.root).as_posix())
        return from_file(repo, path)

    monkeypatch.setattr(Index, "from_file", noted)
    assert len(file_cache.fetch_folder(str(workspace.root), "HEAD", FOLDER, tmp_path / "cache")) == 2
    assert read == []
    delivery = write_delivery(tmp_path / "one", each=2)
    assert add_delivery(workspace, Slot("plant-c", "asr"), delivery).version == 1
    assert not any("plant-b" in path for path in read)


@pytest.mark.parametrize("tracked", ["data", "data/plant-c", "data/plant-c/asr"])
def test_a_folder_inside_a_tracked_one_is_refused(workspace: Workspace, tracked: str, tmp_path: Path) -> None:
    folder = workspace.root / tracked / "files"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    dvc.track(workspace.root, [Path(tracked)])
    inside = workspace.root / "data/plant-c/asr" / SHARDS
    inside.mkdir(parents=True)
    (inside / "a.parquet").write_text("a")
    with pytest.raises(VersioningError, match=f"DVC tracks {tracked} in .* as a whole.*dvc remove {tracked}.dvc"):
        dvc.track(workspace.root, [Path("data/plant-c/asr") / SHARDS])


def test_the_data_of_a_site_is_still_dvc_s(site: Site) -> None:
    """Whatever we leave out, DVC's own command finds nothing to add, to push or to repair."""
    with dvc_repository(site.workspace.root, "status") as repository:
        assert repository.status() == {}
        assert repository.status(cloud=True) == {}
