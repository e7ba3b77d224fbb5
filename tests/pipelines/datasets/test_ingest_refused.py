"""Deliveries and workspaces that `ingest` refuses: a clear error, nothing half-written, and the next run works."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.datasets import slot_change, staging
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_change import slot_transaction
from pipelines.datasets.versions import dataset_versions
from pipelines.errors import DataRefused, IntakeError, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.deliveries import silence, write_delivery

pytestmark = pytest.mark.integration
ASR, ASV = Slot("plant-a", "asr"), Slot("plant-a", "asv")


def contents(root: Path) -> dict[str, bytes]:
    """Every file that is not a cache, a lock or Git's own."""
    paths = (path for path in root.rglob("*") if path.is_file() and not {".git", ".elp"} & set(path.parts))
    kept = {str(path.relative_to(root)): path.read_bytes() for path in paths if ".dvc/" not in f"{path}/"}
    return kept | {"HEAD": git.resolve(root).encode(), "tags": git.git(root, "tag").encode()}


@contextmanager
def unchanged(workspace: Workspace) -> Iterator[None]:
    before = contents(workspace.root)
    yield
    assert contents(workspace.root) == before
    assert git.git(workspace.root, "status", "--porcelain") == ""
    assert not (workspace.state / "journal" / "plant-a.asr.json").exists()


SAME = wav(voice(0.5, 400, 77))
BAD = {
    "leakage": ({"anna_0": {"split": "test"}}, r"leakage: 1 speaker.*anna.*closed_set: true"),
    "two-texts": (
        {"anna_0": {"bytes": SAME, "text": "yes"}, "anna_1": {"bytes": SAME, "text": "no"}},
        r"duplicate content: audio/anna_0.wav and audio/anna_1.wav .*text 'yes' and 'no'",
    ),
    "two-splits": (
        {"anna_0": {"bytes": SAME}, "doris_0": {"bytes": SAME}},
        r"duplicate content: .*split 'train' and 'test'",
    ),
    "quarantine": (
        {f"anna_{take}": {"bytes": silence()} for take in range(3)},
        r"3 of 12 clips are unusable \(3 silent\), the limit is 20%.*silence is 1",
    ),
    "vocabulary": (
        {f"{name}_0": {"text": "öffne"} for name in ("anna", "bert", "carla")},
        r"vocabulary: 3 of 12 transcripts have characters outside the alphabet.*'öffne' has ö",
    ),
}


def test_a_delivery_that_is_bad_as_a_whole_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    for kind, (changes, says) in BAD.items():
        with unchanged(workspace), pytest.raises(DataRefused, match=says):
            add_delivery(workspace, ASR, write_delivery(tmp_path / kind, **changes))
    assert add_delivery(workspace, ASR, write_delivery(tmp_path / "good")).version == 1


def test_one_speaker_is_too_few_to_verify(workspace: Workspace, tmp_path: Path) -> None:
    alone = {
        f"{name}_{take}": {"speaker": "anna", "split": "train"}
        for name in ("bert", "carla", "doris")
        for take in range(3)
    }
    with pytest.raises(DataRefused, match="too few speakers: 1, expected 2"):
        add_delivery(workspace, ASV, write_delivery(tmp_path / "in", **alone))


def test_a_recording_that_comes_again_with_other_words_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    with unchanged(workspace), pytest.raises(DataRefused, match="one recording with text 'open the door' and 'go'"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "two", anna_0={"text": "go"}))


def test_a_broken_manifest_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    manifest = write_delivery(tmp_path / "in")
    manifest.write_text(manifest.read_text() + "{broken\n")
    with unchanged(workspace), pytest.raises(IntakeError, match="line 13: not JSON"):
        add_delivery(workspace, ASR, manifest)


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken(*_: object, **__: object) -> None:
    raise VersioningError("git said no")


@pytest.mark.parametrize(
    ("first", "step", "fault", "error", "says"),
    [
        (True, "pipelines.datasets.dvc.push", full_disk, WorkspaceError, "disk of .* is full"),
        (True, "pipelines.local.git.commit", broken, VersioningError, "git said no"),
        (False, "pipelines.datasets.staging.write_shard", full_disk, WorkspaceError, "is full .*nothing was changed"),
        (False, "pipelines.datasets.dvc.track", full_disk, WorkspaceError, "disk of .* is full"),
        (False, "pipelines.local.git.commit", broken, VersioningError, "git said no"),
    ],
    ids=["first-push", "first-commit", "second-staging", "second-track", "second-commit"],
)
def test_a_failure_leaves_everything_as_it_was(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: bool,
    step: str,
    fault: Callable[..., None],
    error: type[Exception],
    says: str,
) -> None:
    if not first:
        add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    source = write_delivery(tmp_path / "two", seed=1)
    with monkeypatch.context() as patch, unchanged(workspace):
        patch.setattr(step, fault)
        with pytest.raises(error, match=says):
            add_delivery(workspace, ASR, source)
    assert add_delivery(workspace, ASR, source).version == (1 if first else 2)


@pytest.mark.parametrize("at", ["pipelines.datasets.dvc.push", "pipelines.local.git.commit", "pipelines.local.git.tag"])
def test_a_run_that_was_killed_is_made_good_by_the_next(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    source = write_delivery(tmp_path / "in")
    with monkeypatch.context() as patch:
        patch.setattr(at, broken)
        if at != "pipelines.local.git.tag":
            # a killed process does not clean up
            patch.setattr(slot_change, "recover", lambda *_, **__: None)
        with pytest.raises(VersioningError, match="git said no"):
            add_delivery(workspace, ASR, source)
    # a tag that cannot be set is no kill: the change is undone at once
    assert (workspace.state / "journal" / "plant-a.asr.json").is_file() == (at != "pipelines.local.git.tag")
    made = add_delivery(workspace, ASR, source)
    assert (made.version, made.clips) == (1, 12)
    assert [version.revision for version in dataset_versions(workspace, ASR)] == [git.resolve(workspace.root)]
    assert git.git(workspace.root, "status", "--porcelain") == ""


def test_too_little_space_is_told_before_anything_is_read(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = slot_change.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(slot_change.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(staging, "measure_clips", lambda *_: pytest.fail("clips were read"))
    with unchanged(workspace), pytest.raises(WorkspaceError, match=r"1\.0 kB free, this needs about"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))


def test_staged_changes_are_not_taken_along(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "mine.txt").write_text("mine")
    git.git(workspace.root, "add", "mine.txt")
    with pytest.raises(WorkspaceError, match=r"staged changes \(mine.txt\)"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))


def test_changes_elsewhere_do_not_disturb(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "mine.txt").write_text("mine")
    (workspace.root / "elp.yaml").write_text("# changed\n")
    add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))
    assert git.git(workspace.root, "status", "--porcelain").splitlines() == [" M elp.yaml", "?? mine.txt"]


def test_a_change_in_the_slot_s_own_files_is_not_overwritten(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, write_delivery(tmp_path / "one"))
    (workspace.root / ASR.folder / "dataset.json").write_text("{}")
    with pytest.raises(WorkspaceError, match=r"not committed \(data/plant-a/asr/dataset.json\)"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "two", seed=1))


def test_without_a_git_identity_the_two_commands_are_told(workspace: Workspace, tmp_path: Path) -> None:
    (Path(os.environ["HOME"]) / ".gitconfig").unlink()
    with pytest.raises(WorkspaceError, match=r"git config --global user.name[\s\S]*git config --global user.email"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))


def test_a_detached_head_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    git.git(workspace.root, "checkout", "--quiet", "--detach")
    with pytest.raises(WorkspaceError, match=r"detached HEAD.*git switch BRANCH"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))


def test_a_second_run_at_the_same_time_is_told_to_wait(workspace: Workspace) -> None:
    with (
        slot_transaction(workspace, ASR),
        pytest.raises(WorkspaceError, match="another run is changing the data"),
        slot_transaction(workspace, ASR, wait=0.2),
    ):
        pytest.fail("two runs at once")
