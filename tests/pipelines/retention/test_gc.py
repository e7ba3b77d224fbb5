"""`elp gc` on a real workspace and a real server: the plan, the trash, undo, an erasure, a hold, two at once."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.audit.checks.data_checks import check_data
from pipelines.audit.facts import Fact
from pipelines.audit.server_records import ServerRecords
from pipelines.datasets.dataset_version import SHARDS
from pipelines.datasets.dvc import dvc_remote, metafile, tracked_hash
from pipelines.datasets.subject import Subject
from pipelines.errors import GateRefused, UsageError, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.registry.ledger.entry import read_entry
from pipelines.registry.statements import Material
from pipelines.retention import sweep as sweeping
from pipelines.retention.data_trash import list_trash
from pipelines.retention.deleted_data import deleted_files
from pipelines.retention.removal_plan import plan_removal
from pipelines.retention.sweep import sweep, undo
from tests.docs.pages import fences
from tests.support.collected import SLOT, TAGS, readable, with_policy, with_recordings
from tests.support.command import Elp, elp_in
from tests.support.guarded_server import GuardedServer
from tests.support.proof import lineage
from tests.support.rest import Rest
from tests.support.versions_by_hand import ELP

pytestmark = pytest.mark.integration

UNTIL = "2099-01-01T00:00:00+00:00"


def _quiet(_: str) -> None:
    pass


def _files(workspace: Workspace) -> set[str]:
    return {path.name for path in (workspace.root / ".elp" / "remote" / "files").rglob("*") if path.is_file()}


def test_the_plan_names_what_is_kept_and_why(workspace: Workspace) -> None:
    before = _files(workspace)
    plan = plan_removal(workspace, _quiet)
    kept = {tag: (decision.keep, decision.reason) for tag, decision in plan.data.versions.items()}
    assert kept == {
        TAGS[0]: (True, "plant/asr v1 was trained on it"),
        TAGS[1]: (False, "nothing that is kept was trained on it"),
        TAGS[2]: (False, "nothing that is kept was trained on it"),
        TAGS[3]: (True, "newest of the slot"),
        "golden/plant/asr/v1": (True, "golden set"),
    }
    assert plan.data.blocked == ""
    assert plan.data.removed
    assert set(plan.data.removed) <= {path.parent.name + path.name for path in _paths(workspace)}
    assert plan.adapters["plant/asr", 1].reason == "champion"
    assert _files(workspace) == before


def _paths(workspace: Workspace) -> list[Path]:
    return [path for path in (workspace.root / ".elp" / "remote" / "files").rglob("*") if path.is_file()]


def test_what_is_kept_can_be_read_and_what_went_comes_back(workspace: Workspace, tmp_path: Path) -> None:
    workspace = with_policy(workspace, trash_days=14)
    plan, done = sweep(workspace, _quiet)
    assert done.files == len(plan.data.removed) > 0
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [True, False, False, True]
    assert undo(workspace)[1] >= done.files
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [True] * 4


def test_a_second_gc_empties_the_trash_for_good(workspace: Workspace, tmp_path: Path) -> None:
    _, first = sweep(workspace, _quiet)
    with dvc_remote(workspace.root) as stored:
        # the time in the trash is 0: it was emptied by the same call
        assert list_trash(stored) == []
    assert first.emptied_files == first.files
    _, second = sweep(workspace, _quiet)
    assert (second.files, second.emptied_files) == (0, 0)
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [True, False, False, True]
    events = [read_entry(row.entry).event for row in ServerRecords(str(workspace.settings.servers.mlflow_uri)).ledger()]
    assert {"data deleted", "trash emptied"} <= set(events)


def test_nothing_moves_for_a_caller_who_may_not(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = with_policy(workspace, trash_days=14)
    before = _files(workspace)
    real = sweeping.call_server

    def refused(uri: str, method: str, route: str, **content: Any) -> Any:
        if route == "/may-remove":
            raise GateRefused("for administrators only")
        return real(uri, method, route, **content)

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "call_server", refused)
        with pytest.raises(GateRefused, match="administrators"):
            sweep(workspace, _quiet)
        assert _files(workspace) == before
    sweep(workspace, _quiet)
    after = _files(workspace)
    assert after != before
    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "call_server", refused)
        with pytest.raises(GateRefused, match="administrators"):
            undo(workspace)
        assert _files(workspace) == after


@pytest.mark.parametrize("fail", ["_record", "trash_files", "delete_trashed"])
def test_killed_anywhere_and_run_again(workspace: Workspace, tmp_path: Path, fail: str) -> None:
    real, calls = getattr(sweeping, fail), []

    def killed(*arguments: object) -> object:
        calls.append(arguments)
        if fail == "trash_files":
            # half of it is done
            real(*arguments[:2], list(arguments[2])[:1])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, fail, killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(workspace, _quiet)
    assert calls
    assert readable(workspace, TAGS[0], tmp_path)
    sweep(workspace, _quiet)
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [True, False, False, True]


_MOVES = ["before move to trash or back", "after move to trash or back"]
_ENDS = ["before delete from trash", "after delete from trash"]


def _killed(workspace: Workspace, point: str, *words: str) -> None:
    """Run the command until a fail point kills it."""
    command = [sys.executable, "-m", "pipelines.cli.main", "-w", str(workspace.root), *words]
    done = subprocess.run(command, env={**os.environ, "ELP_FAIL_POINT": point}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, f"{point} was not reached: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "point", [_MOVES[1], *(pytest.param(one, marks=pytest.mark.slow) for one in (_MOVES[0], *_ENDS))]
)
def test_a_collection_that_is_killed_at_a_write_is_continued(workspace: Workspace, tmp_path: Path, point: str) -> None:
    _killed(workspace, point, "gc", "--yes")
    assert readable(workspace, TAGS[0], tmp_path)
    sweep(workspace, _quiet)
    with dvc_remote(workspace.root) as stored:
        assert list_trash(stored) == []
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [True, False, False, True]


@pytest.mark.slow
@pytest.mark.parametrize("point", _MOVES)
def test_an_undo_that_is_killed_at_a_write_is_continued(workspace: Workspace, tmp_path: Path, point: str) -> None:
    workspace = with_policy(workspace, trash_days=14)
    sweep(workspace, _quiet)
    _killed(workspace, point, "gc", "undo")
    undo(workspace)
    with dvc_remote(workspace.root) as stored:
        assert list_trash(stored) == []
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [True] * 4


def test_what_is_named_again_comes_back_from_the_trash(workspace: Workspace, tmp_path: Path) -> None:
    workspace = with_policy(workspace, trash_days=14)
    _, done = sweep(workspace, _quiet)
    assert (done.files > 0, done.emptied_files) == (True, 0)
    # a branch that names v2 as a whole
    subprocess.run(["git", "-C", str(workspace.root), "branch", "old", TAGS[1]], check=True)
    _, again = sweep(workspace, _quiet)
    assert again.rescued > 0
    assert readable(workspace, TAGS[1], tmp_path)
    assert not readable(workspace, TAGS[2], tmp_path) or TAGS[2] == TAGS[1]


def test_a_hold_keeps_a_dataset_version_and_a_speaker(workspace: Workspace, server: GuardedServer) -> None:
    rest = Rest(server.uri)
    before = plan_removal(workspace, _quiet).data.removed
    body = {"subject": TAGS[1], "until": UNTIL, "reason": "a dispute"}
    first = rest.post(f"{ELP}/hold", body)["number"]
    held = plan_removal(workspace, _quiet)
    assert held.data.versions[TAGS[1]].reason.startswith(f"hold {first} by ")
    rest.post(f"{ELP}/end-hold", {"hold": first, "reason": "settled"})
    second = rest.post(f"{ELP}/hold", {**body, "subject": "speaker:anna"})["number"]
    kept = plan_removal(workspace, _quiet)
    assert kept.data.held > 0
    with pytest.raises(GateRefused, match=rf"speaker anna is not erased: hold {second} by .*elp hold end {second}"):
        plan_removal(workspace, _quiet, Subject(speaker="anna"))
    rest.post(f"{ELP}/end-hold", {"hold": second, "reason": "settled"})
    assert plan_removal(workspace, _quiet).data.removed == before


def test_what_was_deleted_by_policy_is_no_fault_of_an_audit(workspace: Workspace) -> None:
    root, uri = workspace.root, workspace.settings.servers.mlflow_uri
    commit = git.resolve(root, TAGS[1])
    tracked = tracked_hash(git.show(root, commit, metafile(SLOT.folder / SHARDS)))
    digests = {"gitCommit": commit, "dvcMd5": tracked.removeprefix("md5:").removesuffix(".dir")}
    signed = lineage(
        asked={"dataset": TAGS[1], "golden": "", "seed": 0},
        materials=(Material("dataset", digests), Material("clips", {"elpIds": "0" * 64})),
    )
    sweep(with_policy(workspace, trash_days=14), _quiet)
    shutil.rmtree(root / ".dvc" / "cache")
    without = Fact("data", "", children=check_data(root, SLOT, signed, _quiet)["dataset"])
    assert any("holds no file" in fact.note for fact in without.not_verified)
    told = Fact("data", "", children=check_data(root, SLOT, signed, _quiet, deleted_files(uri))["dataset"])
    assert (told.failed, told.not_verified) == ((), ())
    assert any(fact.note.startswith("deleted by policy, entry ") for fact in told.walk())


def test_an_erasure_beats_what_keeps_a_file(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"drop the recordings first: elp data drop plant/asr --speaker bert"):
        plan_removal(workspace, _quiet, Subject(speaker="bert"))
    plan, _ = sweep(workspace, _quiet, Subject(speaker="anna"))
    assert plan.data.versions[TAGS[0]].keep
    # v1 is the champion's, and is erased all the same
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [False, False, False, True]


def test_only_a_hold_brings_back_what_an_erasure_removed(
    workspace: Workspace, server: GuardedServer, tmp_path: Path
) -> None:
    workspace = with_policy(workspace, trash_days=14)
    _, first = sweep(workspace, _quiet, Subject(speaker="anna"))
    # the files are still in the trash, and v1, which is kept for its champion, still names them
    plan, second = sweep(workspace, _quiet)
    assert (plan.data.versions[TAGS[0]].keep, first.files > 0, second.rescued) == (True, True, 0)
    assert not readable(workspace, TAGS[0], tmp_path)
    rest = Rest(server.uri)
    hold = rest.post(f"{ELP}/hold", {"subject": TAGS[0], "until": UNTIL, "reason": "a dispute"})["number"]
    _, third = sweep(workspace, _quiet)
    rest.post(f"{ELP}/end-hold", {"hold": hold, "reason": "settled"})
    assert third.rescued > 0
    assert readable(workspace, TAGS[0], tmp_path)


def test_undo_leaves_what_an_erasure_removed(workspace: Workspace, tmp_path: Path) -> None:
    workspace = with_policy(workspace, trash_days=14)
    _, collected = sweep(workspace, _quiet)
    assert collected.files > 0
    # v2 and v3 are in the trash already when anna's recordings are erased: v1 of the champion is all that names them
    sweep(workspace, _quiet, Subject(speaker="anna"))
    done = undo(workspace)
    assert done.erased > 0
    assert [readable(workspace, tag, tmp_path) for tag in TAGS] == [False, False, False, True]
    assert with_recordings(workspace, "anna") == {"trash"}
    # a second collection brings nothing back, either
    sweep(workspace, _quiet)
    assert undo(workspace).erased == done.erased
    assert with_recordings(workspace, "anna") == {"trash"}


def test_an_erasure_finds_recordings_in_the_trash_that_no_index_knows(workspace: Workspace) -> None:
    workspace = with_policy(workspace, trash_days=14)
    sweep(workspace, _quiet)
    # the cache may be deleted at any time, and the listings of v2 and v3 are in the trash
    shutil.rmtree(workspace.cache, ignore_errors=True)
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    sweep(workspace, _quiet, Subject(speaker="anna"))
    undo(workspace)
    assert with_recordings(workspace, "anna") == {"trash"}


def test_a_remote_that_others_may_use_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "remote"
    shutil.move(workspace.root / ".elp" / "remote", outside)
    (workspace.root / ".elp" / "remote").symlink_to(outside)
    plan = plan_removal(workspace, _quiet)
    assert "other Git repositories may use the DVC remote" in plan.data.blocked
    assert plan.data.removed == {}
    # another repository with the same remote names v2 in its history: all of that stays
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(workspace.root), str(other)], check=True)
    for others, removed in (([], True), ([str(other)], False)):
        plan = plan_removal(with_policy(workspace, shared_with=others), _quiet)
        assert (plan.data.blocked, bool(plan.data.removed)) == ("", removed)


def test_the_trash_of_another_workspace_is_left_alone(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Its server has a ledger of its own, so that its entries may have the same numbers."""
    workspace = with_policy(workspace, trash_days=14)
    sweep(workspace, _quiet)
    with dvc_remote(workspace.root) as stored:
        own = list_trash(stored)
    trash = workspace.root / ".elp" / "remote" / "elp-trash"
    theirs = [trash / str(own[0].seq) / ("0" * 32), trash / "999999" / own[0].md5]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"of the other one")
    done = undo(workspace)
    assert (done.files, done.erased) == (len(own), 0)
    _, out, _ = elp_in(workspace.root, capsys)("gc")
    line = f"no entry of this ledger names 2 data files in {trash}: another workspace moved them there"
    assert line in out
    # something names a file that is in their trash, too, and the time in the trash is over
    subprocess.run(["git", "-C", str(workspace.root), "branch", "old", TAGS[1]], check=True)
    plan, again = sweep(with_policy(workspace, trash_days=0), _quiet)
    assert (again.rescued, plan.data.foreign.startswith(line)) == (0, True)
    assert [path.is_file() for path in theirs] == [True, True]


@pytest.mark.parametrize(("content", "sentence"), [(None, "lacks the listing"), ("[]", "cannot be read")])
def test_a_kept_version_whose_listing_is_lost_stops_the_data(
    workspace: Workspace, content: str | None, sentence: str
) -> None:
    plan = plan_removal(workspace, _quiet)
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    for path in _paths(workspace):
        if path.name.endswith(".dir") and path.parent.name + path.name not in plan.data.removed:
            path.unlink()
            if content is not None:
                path.write_text(content)
    lost = plan_removal(workspace, _quiet)
    assert sentence in lost.data.blocked
    assert lost.data.removed == {}


def test_a_lost_tag_of_a_champion_stops_the_data_and_erasures(workspace: Workspace, tmp_path: Path) -> None:
    commit, other = git.resolve(workspace.root, TAGS[0]), tmp_path / "other"
    git.git(workspace.root, "clone", "--quiet", ".", str(other))
    git.delete_refs(workspace.root, [f"refs/tags/{TAGS[0]}"])
    before = _files(workspace)
    # a version of another repository with the same remote
    assert plan_removal(with_policy(workspace, shared_with=[str(other)]), _quiet).data.blocked == ""
    plan, done = sweep(workspace, _quiet)
    assert (plan.data.removed, done.files) == ({}, 0)
    with pytest.raises(VersioningError, match=f"speaker anna is not erased: .* lacks the tag {TAGS[0]}"):
        sweep(workspace, _quiet, Subject(speaker="anna"))
    assert _files(workspace) == before
    step = plan.data.blocked.rpartition(": git ")[2]
    git.git(workspace.root, *step.replace("COMMIT", commit or "").split())
    assert sweep(workspace, _quiet)[1].files > 0
    assert readable(workspace, TAGS[0], tmp_path)


@pytest.mark.parametrize("content", [b"[", b"[]"])
def test_a_damaged_listing_in_the_trash_stops_the_data_and_no_erasure(workspace: Workspace, content: bytes) -> None:
    kept = with_policy(workspace, trash_days=14)
    sweep(kept, _quiet)
    trash = workspace.root / ".elp" / "remote" / "elp-trash"
    listing = next(path for path in trash.rglob("*.dir") if path.read_bytes() != b"[]")
    listing.write_bytes(content)
    plan, _ = sweep(kept, _quiet, Subject(speaker="anna"))
    assert f"the listing {listing.name} of data/plant/asr/v" in plan.data.blocked
    assert "cannot be read" in plan.data.blocked
    assert with_recordings(workspace, "anna") == {"trash"}
    # it goes with its time in the trash, and stops nothing then
    sweep(with_policy(workspace, trash_days=0), _quiet)
    assert plan_removal(workspace, _quiet).data.blocked == ""


def test_two_at_once(workspace: Workspace) -> None:
    with (
        file_lock(workspace.state / "locks" / "gc.lock"),
        pytest.raises(WorkspaceError, match=r"another elp gc, or a change of the data, is running"),
    ):
        sweep(workspace, _quiet)


def test_the_grace_keeps_what_was_just_pushed(workspace: Workspace) -> None:
    plan = plan_removal(with_policy(workspace, grace_days=14), _quiet)
    assert plan.data.removed == {}
    assert plan.data.versions[TAGS[1]].reason.startswith("in its grace for 14.0 more days")


def test_the_command_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    elp: Elp = elp_in(workspace.root, capsys)
    code, out, _ = elp("gc")
    assert (code, "would go to the trash" in out, "champion" in out) == (0, True, True)
    shown = json.loads(elp("gc", "--json")[1])
    assert {item["keep"] for item in shown["items"]} == {True, False}
    assert shown["done"] is None
    code, out, _ = elp("gc", "--yes")
    assert (code, "deleted for good" in out) == (0, True)
    assert elp("gc", "undo")[1] == "restored 0 adapters and 0 data files\n"


def test_every_command_of_the_page_runs(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    elp = elp_in(with_policy(workspace, trash_days=14).root, capsys)
    lines = [line for fence in fences("sh") if fence.page == "retention.md" for line in fence.commands]
    assert len(lines) == 6
    number = ""
    for line in lines:
        # the page names a slot that is not in this workspace
        words = [number if word == "41" else word.replace("plant-a/asr", str(SLOT)) for word in shlex.split(line)[1:]]
        code, out, error = elp(*words)
        assert code == 0, f"{line}\n{out}{error}"
        if words[:2] == ["hold", str(SLOT)]:
            number = out.split()[1].rstrip(":")
    (shown,) = [read_settings(fence.text) for fence in fences("yaml") if fence.page == "retention.md"]
    assert shown.retention.shared_with == ("https://git.example.org/speech/other.git",)
