"""Two clones of one repository take deliveries in: each version exists once, pushed as a whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.datasets import shared_branch, slot_change
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.shared_branch import bring_up_to_date
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import dataset_versions, find_latest, load_split
from pipelines.errors import DiskFull, ServiceError, SlotChangedElsewhere, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.git_server import pushed_revision
from pipelines.local.run_workspace import open_for_run
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.git_servers import publish, shared_workspace
from tests.support.workspaces import delivery, isolate

ASR, OTHER = Slot("plant-a", "asr"), Slot("plant.b", "asr")


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipelines.datasets.expectations import import_great_expectations

    # once in this process, and not in one for each delivery
    import_great_expectations()
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        shared_workspace(folder / "foundry")
        for number in (1, 2, 3):
            delivery(folder / f"delivery-{number}", (number,))
    return folder


@pytest.fixture
def place(_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a control host's clone `foundry`, its Git server, its DVC remote, and three deliveries."""
    monkeypatch.setenv("ELP_WORKER_HOME", str(tmp_path / "worker"))
    copy = tmp_path / "place"
    shutil.copytree(_made, copy)
    publish(copy / "foundry", f"file://{copy}/server/foundry.git", copy / "dvc-remote", "language: en\n")
    return copy


@pytest.fixture
def control(place: Path) -> Workspace:
    return open_workspace(place / "foundry")


@pytest.fixture
def worker(control: Workspace) -> Workspace:
    """A clone in the home of a worker."""
    return open_for_run(control.address)


def server(workspace: Workspace) -> Path:
    return Path(workspace.address.removeprefix("file://"))


def clean(workspace: Workspace) -> bool:
    """Whether a clone is at the server's commit, with the server's tags, and nothing is left of a change."""
    journal = workspace.state / "journal"
    return (
        git.resolve(workspace.root) == git.resolve(server(workspace), "main")
        and git.tags(workspace.root, "data") == git.tags(server(workspace), "data")
        and not git.git(workspace.root, "status", "--porcelain")
        and not list(journal.glob("*.json"))
    )


def test_a_version_is_pushed_and_read_by_a_machine_that_shares_nothing(
    control: Workspace, worker: Workspace, place: Path, tmp_path: Path
) -> None:
    made = add_delivery(worker, ASR, place / "delivery-1")
    assert made.revision == git.resolve(server(control), "main") == git.tags(server(control), "data")[made.tag]
    assert clean(worker)
    shutil.rmtree(worker.home or "")
    fresh = open_for_run(control.address)
    assert find_latest(fresh, ASR) == made
    clips = load_split(str(fresh.root), "latest", ASR, ["train"], fresh.cache)
    assert len(clips) == made.splits["train"] == len(load_split(control.address, "v1", ASR, ["train"], tmp_path / "c"))


def test_a_clone_follows_before_it_changes_anything(control: Workspace, worker: Workspace, place: Path) -> None:
    add_delivery(control, ASR, place / "delivery-1")
    assert add_delivery(worker, ASR, place / "delivery-2").version == 2
    # the worker replaces the shards, and the control host holds the old ones
    dropped = drop_clips(worker, ASR, Subject(speaker="ann")).dataset
    made = add_delivery(control, ASR, place / "delivery-3")
    assert (made.version, made.withdrawn) == (4, dropped.withdrawn)
    assert clean(control)
    numbers = [version.version for version in dataset_versions(control, ASR)]
    assert numbers == [1, 2, 3, 4]
    assert add_delivery(worker, ASR, place / "delivery-3") == made, "taken in already, on another machine"


def test_the_old_files_of_a_folder_of_any_name_leave_it(control: Workspace, worker: Workspace) -> None:
    folder, single = Path("データ/録音"), Path("データ/例.wav")
    cache = control.root / ".dvc" / "cache" / "files" / "md5" / "aa"
    cache.mkdir(parents=True)
    (cache / f"{1:030}.dir").write_text('[{"relpath": "old.wav", "md5": "0"}]')
    (cache / f"{1:030}").write_bytes(b"RIFF")
    (control.root / folder).mkdir(parents=True)
    (control.root / folder / "old.wav").write_bytes(b"RIFF")
    for number in (1, 2):
        clone = control if number == 1 else worker
        bring_up_to_date(clone)
        for path, kind in ((folder, ".dir"), (single, "")):
            (clone.root / path).parent.mkdir(exist_ok=True)
            (clone.root / f"{path}.dvc").write_text(f"outs:\n- md5: aa{number:030}{kind}\n  path: {path.name}\n")
        git.git(clone.root, "add", "--", "データ/*.dvc")
        git.git(clone.root, "commit", "--quiet", "--message", "Track it")
        git.git(clone.root, "push", "--quiet", clone.address, "HEAD:main")
    bring_up_to_date(control)
    assert not (control.root / folder / "old.wav").exists()
    assert clean(control)


def test_a_change_of_another_slot_in_between_is_kept(
    control: Workspace, worker: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_between(monkeypatch, lambda: add_delivery(worker, OTHER, place / "delivery-2"))
    made = add_delivery(control, ASR, place / "delivery-1")
    assert (made.version, clean(control)) == (1, True)
    assert made.revision == git.tags(server(control), "data")[made.tag]
    subjects = git.git(server(control), "log", "--format=%s", "main").splitlines()
    assert subjects[:2] == ["Add 24 clips to plant-a/asr (v1)", "Add 24 clips to plant.b/asr (v1)"]


def test_a_change_of_the_same_slot_in_between_is_built_on(
    control: Workspace, worker: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_between(monkeypatch, lambda: add_delivery(worker, ASR, place / "delivery-2"))
    made = add_delivery(control, ASR, place / "delivery-1")
    assert (made.version, len(made.deliveries), made.clips) == (2, 2, 48)
    assert clean(control)


def test_the_same_delivery_on_two_machines_at_once_makes_one_version(
    control: Workspace, worker: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_between(monkeypatch, lambda: add_delivery(worker, ASR, place / "delivery-1"))
    assert add_delivery(control, ASR, place / "delivery-1").version == 1
    assert len(git.tags(server(control), "data")) == 1


def test_a_dvc_remote_that_moves_during_a_change_is_followed(
    control: Workspace, worker: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move() -> None:
        config = control.root / ".dvc" / "config"
        for number in (1, 2):
            config.write_text(config.read_text().replace("dvc-remote", f"dvc-remote-{number}", 1))
            git.commit(control.root, [Path(".dvc/config")], f"Move the data {number}")
            git.git(control.root, "push", "--quiet", control.address, "main")
            if number == 1:
                # a training on the same machine
                open_for_run(control.address)

    _in_between(monkeypatch, move)
    assert add_delivery(worker, ASR, place / "delivery-1").version == 1
    assert clean(worker)
    assert git.show(worker.root, "HEAD", Path(".dvc/config")) == (worker.root / ".dvc/config").read_text().rstrip()
    # the clone, with DVC's cache, may be deleted: the remote of now has the files
    assert worker.home
    shutil.rmtree(worker.home)
    assert len(load_split(control.address, "data/plant-a/asr/v1", ASR, ("train", "validation"), place / "read"))


def _in_between(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Do something on another machine just before the first push."""
    push, left = shared_branch.push_branch, [change]

    def first(*args, **kwargs) -> None:
        if left:
            left.pop()()
        push(*args, **kwargs)

    monkeypatch.setattr(shared_branch, "push_branch", first)


def test_a_server_that_is_away_changes_nothing(
    control: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = git.resolve(control.root)
    gone = server(control).with_name("gone")
    server(control).rename(gone)
    with pytest.raises(ServiceError, match="does not answer"):
        add_delivery(control, ASR, place / "delivery-1")
    gone.rename(server(control))
    # and gone again at the last moment
    _in_between(monkeypatch, lambda: server(control).rename(gone))
    with pytest.raises(ServiceError, match=r"did not take the change: .*; run it again when it answers"):
        add_delivery(control, ASR, place / "delivery-1")
    gone.rename(server(control))
    assert git.resolve(control.root) == before
    assert clean(control)
    assert not [path for path in (control.root / "data").rglob("*") if path.is_file()]
    assert add_delivery(control, ASR, place / "delivery-1").version == 1


def test_a_server_that_refuses_the_change_says_so(control: Workspace, place: Path) -> None:
    hook = server(control) / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho the branch is protected\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(VersioningError, match=r"(?s)refuses the change: .*the branch is protected"):
        add_delivery(control, ASR, place / "delivery-1")
    assert clean(control)


def test_a_push_that_arrives_while_the_server_takes_this_one_is_a_race(control: Workspace, place: Path) -> None:
    hook = server(control) / "hooks" / "pre-receive"
    # after the server has told the client its branches and before it moves them
    hook.write_text(
        "#!/bin/sh\nrm $0\nunset GIT_QUARANTINE_PATH\n"
        "commit=$(git commit-tree -p main -m between main^{tree}) && git update-ref refs/heads/main $commit\n"
    )
    hook.chmod(0o755)
    assert (add_delivery(control, ASR, place / "delivery-1").version, hook.exists()) == (1, False)
    assert git.git(server(control), "log", "--format=%s", "main").splitlines()[1] == "between"


def test_commits_on_both_sides_are_reported(control: Workspace, worker: Workspace, place: Path) -> None:
    add_delivery(worker, ASR, place / "delivery-1")
    (control.root / "notes.txt").write_text("mine\n")
    git.commit(control.root, [Path("notes.txt")], "Note")
    with pytest.raises(
        WorkspaceError, match=r"have diverged \(1 commit here, 1 there\); run: git pull --rebase file://"
    ):
        add_delivery(control, ASR, place / "delivery-2")
    git.git(control.root, "pull", "--quiet", "--rebase", control.address, "main")
    assert add_delivery(control, ASR, place / "delivery-2").version == 2
    assert git.resolve(server(control), "main:notes.txt^{}") or clean(control), "the note was pushed, too"


def test_an_edit_that_new_commits_change_too_is_not_lost(control: Workspace, worker: Workspace, place: Path) -> None:
    (worker.root / "elp.yaml").write_text((worker.root / "elp.yaml").read_text() + "auto_promote: true\n")
    git.git(worker.root, "commit", "--quiet", "--all", "--message", "Promote")
    git.git(worker.root, "push", "--quiet", "origin", "main")
    edited = (control.root / "elp.yaml").read_text() + "backbone: mine\n"
    (control.root / "elp.yaml").write_text(edited)
    with pytest.raises(WorkspaceError, match=r"elp.yaml is changed here and there; commit or put back"):
        add_delivery(control, ASR, place / "delivery-1")
    assert (control.root / "elp.yaml").read_text() == edited


@pytest.mark.parametrize(
    ("pushed", "moved"),
    [(False, None), pytest.param(False, OTHER, marks=pytest.mark.slow), (False, ASR), (True, ASR)],
    ids=["before", "before, and another slot changed", "before, and the slot changed", "after, and the slot changed"],
)
def test_a_change_that_was_killed_at_its_push_is_finished_or_begun_again(
    control: Workspace, worker: Workspace, place: Path, pushed: bool, moved: Slot | None
) -> None:
    killed = multiprocessing.get_context("fork").Process(target=_killed, args=(worker, place / "delivery-1", pushed))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert list((worker.state / "journal").glob("*.json"))
    if moved:
        add_delivery(control, moved, place / "delivery-2")
    # of another slot, on the machine where it was killed
    add_delivery(worker, Slot("plant-c", "asr"), place / "delivery-3")
    assert clean(worker)
    made = add_delivery(control, ASR, place / "delivery-1")
    assert len(made.deliveries) == (2 if moved == ASR else 1)
    assert clean(control)
    assert made.clips == 24 * len(made.deliveries)


def test_a_killed_change_keeps_its_tag_and_follows_a_renamed_branch(
    control: Workspace, worker: Workspace, place: Path
) -> None:
    add_delivery(control, OTHER, place / "delivery-2")
    killed = multiprocessing.get_context("fork").Process(target=_killed, args=(worker, place / "delivery-1", False))
    killed.start()
    killed.join()
    git.git(server(control), "branch", "--move", "main", "trunk")
    git.git(server(control), "tag", "--delete", f"data/{OTHER}/v1")
    assert list(git.tags(open_for_run(control.address).root, "data")) == [f"data/{ASR}/v1"]
    add_delivery(worker, Slot("plant-c", "asr"), place / "delivery-3")
    assert git.git(server(control), "branch", "--format=%(refname:short)") == "trunk"
    assert git.resolve(worker.root) == git.resolve(server(control), "trunk")
    assert list(git.tags(server(control), "data")) == [f"data/{ASR}/v1", "data/plant-c/asr/v1"]


def test_a_branch_that_is_gone_at_the_server_is_reported_and_not_made_again(control: Workspace, place: Path) -> None:
    git.tag(control.root, "data/plant-x/asr/v1", "not pushed")
    git.git(server(control), "branch", "--move", "main", "trunk")
    gone = (
        rf"^{control.address} has no branch main \(its default branch is trunk\); if it was renamed there, run in "
        rf"{control.root}: git branch -m main trunk; if it is new, run: git push {control.address} main$"
    )
    with pytest.raises(WorkspaceError, match=gone):
        add_delivery(control, ASR, place / "delivery-1")
    with pytest.raises(WorkspaceError, match=gone):
        pushed_revision(control)
    git.git(control.root, "branch", "-m", "main", "trunk")
    git.git(control.root, "config", "fetch.prune", "true")
    made = add_delivery(control, ASR, place / "delivery-1")
    assert made.revision == git.resolve(server(control), "trunk")
    assert git.resolve(control.root, "data/plant-x/asr/v1"), "it was not pushed, and was not deleted"


def test_the_first_push_to_an_empty_server_makes_the_branch(control: Workspace, place: Path) -> None:
    git.git(server(control), "update-ref", "-d", "refs/heads/main")
    assert add_delivery(control, ASR, place / "delivery-1").revision == git.resolve(server(control), "main")


def _killed(workspace: Workspace, source: Path, pushed: bool) -> None:
    push = shared_branch.push_branch

    def kill(*args, **kwargs) -> None:
        if pushed:
            push(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    shared_branch.push_branch = kill
    add_delivery(workspace, ASR, source)


def test_a_change_that_waits_for_its_push_is_kept_while_the_server_is_away(worker: Workspace, place: Path) -> None:
    killed = multiprocessing.get_context("fork").Process(target=_killed, args=(worker, place / "delivery-1", False))
    killed.start()
    killed.join()
    gone = server(worker).with_name("gone")
    server(worker).rename(gone)
    with pytest.raises(ServiceError, match="did not take the change"):
        add_delivery(worker, ASR, place / "delivery-2")
    assert list((worker.state / "journal").glob("*.json"))
    gone.rename(server(worker))
    assert add_delivery(worker, ASR, place / "delivery-2").version == 2


def test_a_change_that_waits_for_its_push_is_kept_while_a_disk_is_full(worker: Workspace, place: Path) -> None:
    killed = multiprocessing.get_context("fork").Process(target=_killed, args=(worker, place / "delivery-1", False))
    killed.start()
    killed.join()
    hook = server(worker) / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho write error: No space left on device\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(DiskFull, match=r"is full: .*No space left on device"):
        add_delivery(worker, ASR, place / "delivery-2")
    assert list((worker.state / "journal").glob("*.json"))
    hook.unlink()
    assert add_delivery(worker, ASR, place / "delivery-2").version == 2


def _take_in(root: str, address: str, home: str, slots: list[str], source: str) -> list[int]:
    os.environ["ELP_WORKER_HOME"] = home
    workspace = open_for_run(address) if home else open_workspace(Path(root))
    return [add_delivery(workspace, Slot.parse(slot), Path(source)).version for slot in slots]


def test_three_machines_at_once_lose_nothing(control: Workspace, place: Path, tmp_path: Path) -> None:
    common, root = str(ASR), str(control.root)
    jobs = [
        (root, control.address, "", [common, "plant-1/asr"], str(place / "delivery-1")),
        (root, control.address, str(tmp_path / "w2"), [common, "plant-2/asr"], str(place / "delivery-2")),
        (root, control.address, str(tmp_path / "w3"), [common, "plant-3/asr"], str(place / "delivery-3")),
    ]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.starmap(_take_in, jobs, chunksize=1)
    fresh = open_for_run(control.address)
    found = dataset_versions(fresh, ASR)
    assert [version.version for version in found] == [1, 2, 3]
    assert len(found[-1].deliveries) == 3
    assert found[-1].clips == 72
    assert sorted(git.tags(server(control), "data")) == sorted(
        [*(f"data/{ASR}/v{n}" for n in (1, 2, 3)), *(f"data/plant-{n}/asr/v1" for n in (1, 2, 3))]
    )
    head = git.resolve(server(control), "main")
    assert all(git.is_ancestor(server(control), commit, head) for commit in git.tags(server(control), "data").values())


def test_a_slot_that_changes_again_and_again_is_given_up(
    control: Workspace, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def always(*_: object) -> str:
        begun.append(1)
        raise SlotChangedElsewhere("another machine has changed it first; try again")

    monkeypatch.setattr(slot_change, "push_change", always)
    # each of the ten takes a second of processor time
    monkeypatch.setattr(shared_branch, "_REPEATS", 3)
    with pytest.raises(SlotChangedElsewhere, match="try again"):
        add_delivery(control, ASR, place / "delivery-1")
    assert len(begun) == 3
    assert clean(control)
