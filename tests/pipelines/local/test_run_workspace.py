"""A run opens its workspace by its Git address, on a machine that has nothing of it."""

from __future__ import annotations

import multiprocessing
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from elp_core.errors import ConfigError
from pipelines.datasets.shared_branch import bring_up_to_date, push_change
from pipelines.datasets.slot_change import data_turn
from pipelines.datasets.versions import find_latest, latest_number
from pipelines.errors import (
    DiskFull,
    RemoteAway,
    ServiceError,
    VersioningError,
    WorkerEnded,
    WorkspaceError,
    WrongRelease,
)
from pipelines.local import git
from pipelines.local.dvc_repository import remote_options
from pipelines.local.run_workspace import clone_folder, open_for_run, require_release_of_run
from pipelines.local.settings import read_settings
from pipelines.local.worker_home import worker_home
from pipelines.local.worker_plan import WORKER
from pipelines.local.workspace import Workspace
from pipelines.outages import awaited
from pipelines.registry.slot import Slot
from pipelines.release import installed_release
from tests.support.git_servers import git_daemon, shared_workspace
from tests.support.pretended_prefect import answering


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.workspaces import isolate

    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        shared_workspace(folder / "foundry")
    return folder


@pytest.fixture
def control(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a Git server of its own, and an empty home for the workers."""
    from tests.support.git_servers import publish

    monkeypatch.setenv("ELP_WORKER_HOME", str(tmp_path / "worker"))
    place = tmp_path / "control"
    shutil.copytree(_made, place)
    return publish(place / "foundry", f"file://{place}/server/foundry.git", place / "dvc-remote", "backbone: one\n")


def change(control: Workspace, line: str) -> str:
    """Commit another line of settings and push it; return the commit."""
    path = control.root / "elp.yaml"
    path.write_text(path.read_text() + line + "\n")
    commit = git.commit(control.root, [Path("elp.yaml")], line)
    git.git(control.root, "push", "--quiet", "--force", control.address, "main")
    return commit


def move_remote(control: Workspace, url: str) -> str:
    """Commit another DVC remote and push it; return the commit."""
    config = control.root / ".dvc" / "config"
    config.write_text(re.sub(r"url = .*", f"url = {url}", config.read_text()))
    commit = git.commit(control.root, [Path(".dvc/config")], f"Move the data to {url}")
    git.git(control.root, "push", "--quiet", control.address, "main")
    return commit


def test_a_folder_is_opened_in_place(workspace: Workspace) -> None:
    assert open_for_run(str(workspace.root)) == workspace
    assert (workspace.address, workspace.cache) == (str(workspace.root), workspace.state / "cache")


def test_an_address_is_cloned_once_and_then_brought_up_to_date(control: Workspace) -> None:
    first = git.resolve(control.root)
    opened = open_for_run(control.address)
    assert opened.root == clone_folder(worker_home(), control.address)
    assert (opened.address, opened.settings, opened.revision) == (control.address, control.settings, first)
    assert (opened.state, opened.cache) == (opened.root / ".elp", worker_home() / "cache")
    marker = opened.root / ".elp" / "kept"
    marker.parent.mkdir(exist_ok=True)
    marker.touch()
    second = change(control, "auto_promote: true")
    assert open_for_run(control.address).settings.auto_promote
    assert open_for_run(control.address, second).revision == second
    assert not open_for_run(control.address, first).settings.auto_promote
    assert marker.exists(), "the clone was kept"


def test_the_clones_may_be_deleted_between_two_runs_and_not_during_one(control: Workspace) -> None:
    before = open_for_run(control.address)
    shutil.rmtree(worker_home())
    with pytest.raises(VersioningError, match="does not exist") as raised:
        find_latest(before, Slot("plant-a", "asr"))
    assert not awaited(raised.value)
    assert open_for_run(control.address) == before


def test_a_revision_that_the_server_lacks_is_named(control: Workspace) -> None:
    with pytest.raises(WorkspaceError, match=r"foundry.git has no revision 'f00'; push it .*git push file://"):
        open_for_run(control.address, "f00")


def test_a_branch_that_was_rewritten_is_followed_and_its_old_commits_are_refused(control: Workspace) -> None:
    old = change(control, "auto_promote: true")
    assert open_for_run(control.address).revision == old
    git.git(control.root, "reset", "--quiet", "--hard", "HEAD~1")
    new = change(control, "language: ja")
    assert open_for_run(control.address).revision == new
    with pytest.raises(WorkspaceError, match=r"no branch of file://.* contains the revision .* any more"):
        open_for_run(control.address, old)


@pytest.mark.parametrize("renamed", [True, False])
def test_another_default_branch_is_followed(control: Workspace, renamed: bool) -> None:
    server, opened = Path(control.address.removeprefix("file://")), open_for_run(control.address)
    marker = opened.root / ".elp" / "kept"
    marker.parent.mkdir(exist_ok=True)
    marker.touch()
    git.git(server, "branch", *(["--move"] if renamed else []), *(["main"] if renamed else []), "trunk")
    git.git(server, "symbolic-ref", "HEAD", "refs/heads/trunk")
    git.git(control.root, "switch", "--quiet", "--create", "trunk")
    (control.root / "elp.yaml").write_text((control.root / "elp.yaml").read_text() + "auto_promote: true\n")
    new = git.commit(control.root, [Path("elp.yaml")], "Promote")
    git.git(control.root, "push", "--quiet", control.address, "trunk")
    again = open_for_run(control.address)
    assert (again.revision, again.settings.auto_promote, again.root) == (new, True, opened.root)
    assert marker.exists(), "the clone was kept"
    bring_up_to_date(again)
    assert (git.current_branch(again.root), git.resolve(again.root)) == ("trunk", new)
    git.commit(again.root, [_touched(again.root / "note")], "Note")
    assert push_change(again, Path("note"), git.resolve(again.root), {}) == git.resolve(server, "trunk")
    assert git.resolve(server, "main") == ("" if renamed else opened.revision)


def _touched(path: Path) -> Path:
    path.touch()
    return Path(path.name)


def test_a_branch_and_a_tag_that_the_server_has_deleted_are_refused(control: Workspace) -> None:
    server = Path(control.address.removeprefix("file://"))
    git.git(control.root, "switch", "--quiet", "--create", "other")
    by_branch = git.commit(control.root, [_touched(control.root / "a")], "Add a")
    by_tag = git.commit(control.root, [_touched(control.root / "b")], "Add b")
    git.tag(control.root, "data/plant-a/asr/v1", "one", "main")
    git.tag(control.root, "data/plant-a/asr/v2", "two", by_tag)
    git.git(control.root, "push", "--quiet", "--tags", control.address, f"{by_branch}:refs/heads/other")
    opened = open_for_run(control.address)
    assert latest_number(opened.root, Slot("plant-a", "asr"), "data") == 2
    assert [open_for_run(control.address, one).revision for one in (by_branch, by_tag)] == [by_branch, by_tag]
    git.git(server, "tag", "--delete", "data/plant-a/asr/v2")
    git.git(server, "branch", "--quiet", "--delete", "--force", "other")
    # of the other branch, this one is a folder
    git.git(server, "branch", "other/one", "main")
    assert open_for_run(control.address).revision == opened.revision
    assert latest_number(opened.root, Slot("plant-a", "asr"), "data") == 1
    for one in (by_branch, by_tag):
        with pytest.raises(
            WorkspaceError, match=r"no branch of file://.* contains .* any more; it was rewritten or del"
        ):
            open_for_run(control.address, one)


def test_the_server_is_asked_once_if_nothing_has_changed_there_and_else_twice(
    control: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, real = [], git.git
    open_for_run(control.address)

    def counted(folder: Path, *arguments: str, **options: Any) -> str:
        asked.extend({"ls-remote", "fetch", "clone"} & {arguments[0]})
        return real(folder, *arguments, **options)

    monkeypatch.setattr(git, "git", counted)
    open_for_run(control.address)
    assert asked == ["ls-remote"]
    change(control, "auto_promote: true")
    open_for_run(control.address)
    assert asked == ["ls-remote", "ls-remote", "fetch"]


def test_a_server_that_is_away_is_one_sentence(control: Workspace) -> None:
    place = Path(control.address.removeprefix("file://"))
    place.rename(place.with_name("away"))
    for _ in range(2):
        with pytest.raises(ServiceError, match=r"^the Git server of file://\S+ does not answer: .*: git ls-remote"):
            open_for_run(control.address)
        place.with_name("away").rename(place)
        open_for_run(control.address)
        place.rename(place.with_name("away"))


@pytest.mark.parametrize(
    ("reason", "kind", "sentence"),
    [
        ("failed in {}: fetch-pack: unexpected disconnect", RemoteAway, "does not answer"),
        ("did not end within 180 s in {}", RemoteAway, "does not answer"),
        ("failed in {}: write error: No space left on device", DiskFull, r"full: .*No space left on device; free some"),
    ],
)
def test_an_outage_or_a_full_disk_during_the_fetch_keeps_the_clone(
    control: Workspace, monkeypatch: pytest.MonkeyPatch, reason: str, kind: type[Exception], sentence: str
) -> None:
    opened, real = open_for_run(control.address), git.git
    change(control, "auto_promote: true")
    inode, errors = opened.root.stat().st_ino, [VersioningError(f"git fetch {reason.format(opened.root)}")]

    def away_once(folder: Path, *arguments: str, **options: Any) -> str:
        if arguments[0] == "fetch" and errors:
            raise errors.pop()
        return real(folder, *arguments, **options)

    monkeypatch.setattr(git, "git", away_once)
    with pytest.raises(kind, match=sentence):
        open_for_run(control.address)
    assert open_for_run(control.address).settings.auto_promote
    assert opened.root.stat().st_ino == inode


@pytest.mark.parametrize("part", ["HEAD", "index", "config", "objects", "refs", "packed-refs"])
def test_a_damaged_clone_is_cloned_anew(control: Workspace, part: str) -> None:
    opened = open_for_run(control.address)
    broken = opened.root / ".git" / part
    if broken.is_dir():
        shutil.rmtree(broken)
    else:
        broken.write_bytes(b"\0broken")
    assert open_for_run(control.address) == opened


def test_a_clone_that_was_cut_short_is_cloned_anew(control: Workspace) -> None:
    root = clone_folder(worker_home(), control.address)
    (root / ".git").mkdir(parents=True)
    assert open_for_run(control.address).root == root


def test_a_repository_whose_default_branch_does_not_exist_is_read_by_its_only_one(control: Workspace) -> None:
    git.git(Path(control.address.removeprefix("file://")), "symbolic-ref", "HEAD", "refs/heads/master")
    assert open_for_run(control.address).revision == git.resolve(control.root)


def test_a_repository_without_a_commit_or_without_settings_says_so(control: Workspace, tmp_path: Path) -> None:
    from tests.support.git_servers import bare

    address = bare(tmp_path / "empty.git")
    with pytest.raises(WorkspaceError, match=r"empty.git has no commit; push the workspace there"):
        open_for_run(address)
    (control.root / ".dvc" / "config").write_text(f"[core]\nremote = x\n['remote \"x\"']\nurl = {tmp_path}\n")
    git.git(control.root, "rm", "--quiet", "elp.yaml")
    git.git(control.root, "commit", "--quiet", "--all", "--message", "Remove it")
    git.git(control.root, "push", "--quiet", address, "main")
    with pytest.raises(WorkspaceError, match=r"empty.git has no elp.yaml at [0-9a-f]{12}; .*: elp init"):
        open_for_run(address)


def test_a_dvc_remote_inside_the_clone_is_refused_until_it_is_moved(control: Workspace) -> None:
    shared = control.remote
    move_remote(control, "../.elp/remote")
    for _ in range(2):
        with pytest.raises(WorkspaceError, match=r"is the folder ../.elp/remote inside each clone.*dvc remote modify"):
            open_for_run(control.address)
    move_remote(control, shared)
    opened = open_for_run(control.address)
    assert remote_options(opened.root)["url"] == shared
    # of the time when each run read the settings of the working tree
    git.git(opened.root, "reset", "--quiet", "--hard", "HEAD~1")
    with data_turn(opened):
        pass


def test_a_run_reads_the_dvc_remote_of_the_newest_commit(control: Workspace) -> None:
    old = open_for_run(control.address).revision
    for url in ("s3://new/store", "s3://newer/store"):
        new = move_remote(control, url)
        opened = open_for_run(control.address, old)
        assert (opened.revision, remote_options(opened.root)["url"]) == (old, url)
    with data_turn(opened):
        assert git.resolve(opened.root) == new
        assert not git.git(opened.root, "status", "--porcelain")


def test_another_release_is_refused_with_both_names(control: Workspace) -> None:
    require_release_of_run(control.address, installed_release())
    require_release_of_run(control.address, "")
    with pytest.raises(WrongRelease, match=rf"asks for elp 9.9, recipe 7, and this worker has {installed_release()};"):
        require_release_of_run(control.address, "elp 9.9, recipe 7")


@pytest.mark.parametrize(
    ("server", "error"), [("elp 9.9, recipe 7", WorkerEnded), (installed_release(), WrongRelease), ("", WrongRelease)]
)
def test_a_run_goes_back_to_its_queue_if_the_worker_differs_from_the_server(
    control: Workspace, monkeypatch: pytest.MonkeyPatch, server: str, error: type[Exception]
) -> None:
    with answering(lambda path, _, body: (200, {"keys": "", "release": server})) as api:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", api.removesuffix("/api"))
        # in a pod nothing would end: the run would come back to the same image for ever
        with pytest.raises(WrongRelease, match="asks for elp 9"):
            require_release_of_run(control.address, "elp 9.9, recipe 7")
        monkeypatch.setenv(WORKER, "host:cpu")
        with pytest.raises(error) as raised:
            require_release_of_run(control.address, "elp 9.9, recipe 7")
        assert bool(awaited(raised.value)) is (error is WorkerEnded)
        # a workspace in a folder has no other workers
        with pytest.raises(WrongRelease, match="asks for elp 9"):
            require_release_of_run(str(control.root), "elp 9.9, recipe 7")


def test_the_servers_are_those_that_the_worker_knows(control: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.local.addresses import mlflow_uri

    with pytest.raises(ServiceError, match=r"knows no address of the mlflow server; set servers.mlflow_uri"):
        mlflow_uri(open_for_run(control.address))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://control:5000")
    assert mlflow_uri(open_for_run(control.address)) == "http://control:5000"


def test_an_address_over_the_network_is_the_same(control: Workspace) -> None:
    with git_daemon(Path(control.address.removeprefix("file://")).parent) as base:
        opened = open_for_run(f"{base}/foundry.git")
        assert (opened.address, opened.settings.backbone) == (f"{base}/foundry.git", "one")
    with pytest.raises(ServiceError, match=rf"the Git server of {base}/foundry.git does not answer"):
        open_for_run(f"{base}/foundry.git")


def _open(address: str) -> tuple[str, str]:
    opened = open_for_run(address)
    return str(opened.root), opened.revision


def test_runs_that_begin_at_once_share_one_clone(control: Workspace) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = set(pool.map(_open, [control.address] * 6, chunksize=1))
    assert found == {(str(clone_folder(worker_home(), control.address)), git.resolve(control.root))}


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("/srv/foundry.git", "is no Git address; expected one that every worker reaches"),
        ("-oProxyCommand=x:y", "is no Git address"),
        ("https://me:secret@host/x.git", "^(?!.*secret).*it holds a password"),
        ("htps://me:secret@host/x.git", "^(?!.*secret).*it holds a password"),
        ("ext::sh -c true", "the scheme|is no Git address"),
        ("s3://bucket/x", "the scheme of 's3://bucket/x' is 's3', expected one of"),
        ("ssh://[bad/x", "cannot be read"),
    ],
)
def test_an_address_that_workers_cannot_use_is_refused(address: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){fault}"):
        read_settings(f"git: {address!r}")


@pytest.mark.parametrize("address", ["ssh://elp@control/srv/f.git", "elp@control:f.git", "file:///srv/f.git", ""])
def test_an_address_that_workers_can_use_is_taken(address: str) -> None:
    assert read_settings(f"git: {address!r}").git == address
