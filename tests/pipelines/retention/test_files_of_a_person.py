"""Files with a person's recordings that no listing names any more: holds keep them, and erasures find them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.audit.data_index import open_index, opened
from pipelines.audit.erasure_plan import plan_erasure
from pipelines.audit.server_records import ServerRecords
from pipelines.datasets.dataset_version import SHARDS
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.dvc import DvcRemote, dvc_remote, metafile, tracked_hash
from pipelines.datasets.golden_set import pin_golden
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.subject import Subject
from pipelines.errors import DataRemoteAway, GateRefused, UsageError, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.retention import subject_files
from pipelines.retention import sweep as sweeping
from pipelines.retention.data_trash import trash_files
from pipelines.retention.sweep import sweep, undo
from tests.support.collected import SLOT, TAGS, with_policy, with_recordings
from tests.support.command import elp_in
from tests.support.deliveries import write_delivery
from tests.support.guarded_server import GuardedServer
from tests.support.rest import Rest
from tests.support.versions_by_hand import ELP

pytestmark = pytest.mark.integration

ANNA = Subject(speaker="anna")


def _quiet(_: str) -> None:
    pass


@pytest.fixture
def hold(server: GuardedServer) -> Iterator[Callable[[str], Callable[[], None]]]:
    """A function that holds something and returns the function that ends the hold; all end with the test."""
    rest, numbers = Rest(server.uri), list[int]()

    def end(number: int) -> None:
        if number in numbers:
            numbers.remove(number)
            rest.post(f"{ELP}/end-hold", {"hold": number, "reason": "settled"})

    def make(subject: str) -> Callable[[], None]:
        body = {"subject": subject, "until": "2099-01-01T00:00:00+00:00", "reason": "a dispute"}
        number = rest.post(f"{ELP}/hold", body)["number"]
        numbers.append(number)
        return lambda: end(number)

    yield make
    for number in [*numbers]:
        end(number)


def _lose_caches(workspace: Workspace) -> None:
    """The index and DVC's cache are caches: another machine, or a new format, begins without them."""
    shutil.rmtree(workspace.cache, ignore_errors=True)
    shutil.rmtree(workspace.root / ".dvc" / "cache", ignore_errors=True)


def _put(workspace: Workspace, content: bytes, suffix: str = "") -> str:
    """Put a file into the remote, as a push does."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    place = workspace.root / ".elp" / "remote" / "files" / "md5" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return md5


def _shard(speaker: str, mark: str) -> bytes:
    row = {"id": hashlib.sha256(mark.encode()).hexdigest(), "speaker": speaker, "split": "train", "duration": 1.0}
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row]), content)
    return content.getvalue()


def _there(workspace: Workspace, md5: str) -> bool:
    return (workspace.root / ".elp" / "remote" / "files" / "md5" / md5[:2] / md5[2:]).is_file()


def _other_repository(workspace: Workspace, tmp_path: Path, speaker: str) -> tuple[Path, str, str]:
    """Make a repository that names a shard in the same remote; return it with the MD5 of the shard and its listing."""
    shard = _put(workspace, _shard(speaker, "of another repository"))
    listing = _put(workspace, json.dumps([{"relpath": "a.parquet", "md5": shard}]).encode(), ".dir")
    other = tmp_path / "other"
    other.mkdir()
    (other / "shards.dvc").write_text(f"outs:\n- md5: {listing}\n  path: shards\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "It"]):
        subprocess.run(["git", "-C", str(other), *words], check=True)
    return other, shard, listing


def _failing_at(lost: str, kind: type[VersioningError]) -> Callable[[DvcRemote, str], dict[str, str]]:
    """Return a function that reads listings as a remote does that fails at one."""
    real = DvcRemote.listing

    def listing(stored: DvcRemote, folder: str) -> dict[str, str]:
        if folder == f"md5:{lost}":
            raise kind("not now")
        return real(stored, folder)

    return listing


def _with_anna(workspace: Workspace, below: Path | None = None) -> set[Path]:
    folder = below or workspace.root / ".elp" / "remote" / "files"
    shards = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".dir"))
    return {path for path in shards if "anna" in pq.read_table(path, columns=["speaker"])["speaker"].to_pylist()}


def test_a_hold_keeps_files_whose_listing_is_gone(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]]
) -> None:
    before = _with_anna(workspace)
    hold("speaker:anna")
    # the listings of v2 and v3 go, the held shards stay
    sweep(workspace, _quiet)
    _lose_caches(workspace)
    _, done = sweep(workspace, _quiet)
    assert len(before) == 3
    assert (_with_anna(workspace), done.files) == (before, 0)


def test_a_hold_brings_back_what_no_index_knew(workspace: Workspace, hold: Callable[[str], Callable[[], None]]) -> None:
    before = _with_anna(workspace)
    workspace = with_policy(workspace, trash_days=14)
    sweep(workspace, _quiet)
    assert _with_anna(workspace) < before
    _lose_caches(workspace)
    hold("speaker:anna")
    sweep(with_policy(workspace, trash_days=0), _quiet)
    assert _with_anna(workspace) == before


def test_an_erasure_finds_files_whose_listing_is_gone(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    end = hold("speaker:anna")
    workspace = with_policy(workspace, trash_days=14)
    sweep(workspace, _quiet)
    shutil.rmtree(workspace.root / ".elp" / "remote" / "elp-trash")
    _lose_caches(workspace)
    end()
    code, out, error = elp_in(workspace.root, capsys)("erasure", "plan", "--speaker", "anna", "--json")
    assert code == 0, error
    assert sorted(bool(one["versions"]) for one in json.loads(out)["files"]) == [False, False, True]
    sweep(workspace, _quiet, ANNA)
    undo(workspace)
    assert with_recordings(workspace, "anna") == {"trash"}


def test_a_fault_of_the_index_makes_no_file_of_the_trash_unreadable(workspace: Workspace) -> None:
    workspace = with_policy(workspace, trash_days=14)
    shard = _put(workspace, _shard("zoe", "in the trash"))
    sweep(workspace, _quiet)
    assert not _there(workspace, shard)

    def locked(*_: object) -> int:
        raise sqlite3.OperationalError("database is locked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject_files, "add_file", locked)
        with pytest.raises(VersioningError, match="database is locked"):
            sweep(workspace, _quiet, ANNA)


def test_what_is_no_shard_goes_and_what_cannot_be_read_is_kept(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]]
) -> None:
    hold("speaker:anna")
    other, damaged, said = _put(workspace, b"a text"), _put(workspace, _shard("anna", "x")[:-9]), list[str]()
    sweep(workspace, said.append)
    assert (_there(workspace, other), _there(workspace, damaged)) == (False, True)
    assert any(f"(MD5 {damaged}) cannot be read, so it is not known who is in it" in line for line in said)


def test_the_plan_of_an_erasure_reads_no_file_of_others(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = _put(workspace, _shard("anna", "of another repository"))
    shared = with_policy(workspace, shared_with=["https://git.example.org/speech/other.git"])
    code, out, error = elp_in(shared.root, capsys)("erasure", "plan", "--speaker", "anna", "--json")
    assert code == 0, error
    assert theirs not in {one["md5"] for one in json.loads(out)["files"]}
    with opened(workspace.state) as db:
        assert (theirs,) not in db.execute("SELECT md5 FROM file").fetchall()


@pytest.mark.parametrize("declared", [True, False])
def test_a_collection_reads_no_file_of_others(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]], tmp_path: Path, declared: bool
) -> None:
    other, theirs, _ = _other_repository(workspace, tmp_path, "zoe")
    if declared:
        workspace = with_policy(workspace, shared_with=[str(other)])
    else:
        shutil.move(workspace.root / ".elp" / "remote", tmp_path / "remote")
        (workspace.root / ".elp" / "remote").symlink_to(tmp_path / "remote")
    hold("speaker:zoe")
    for subject in (None, ANNA):
        sweep(workspace, _quiet, subject)
    assert _there(workspace, theirs)
    assert with_recordings(workspace, "anna") <= {"trash"}
    with opened(workspace.state) as db:
        assert (theirs,) not in db.execute("SELECT md5 FROM file").fetchall()


def test_an_erasure_leaves_what_only_another_repository_names_and_what_may_be_in_flight(
    workspace: Workspace, tmp_path: Path
) -> None:
    other, shard, listing = _other_repository(workspace, tmp_path, "anna")
    young = _put(workspace, _shard("anna", "of a push in flight"))
    # as long as their listing cannot be read, it may name anything
    shared = with_policy(workspace, shared_with=[str(other)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DvcRemote, "listing", _failing_at(listing, DataRemoteAway))
        with pytest.raises(DataRemoteAway, match="not now"):
            sweep(shared, _quiet, ANNA)
        patch.setattr(DvcRemote, "listing", _failing_at(listing, VersioningError))
        sweep(shared, _quiet, ANNA)
    assert (_there(workspace, shard), _there(workspace, young)) == (True, True)
    sweep(with_policy(workspace, grace_days=14), _quiet, ANNA)
    assert (_there(workspace, shard), _there(workspace, young)) == (True, True)
    plan, _ = sweep(with_policy(workspace, grace_days=0), _quiet, ANNA)
    assert (_there(workspace, shard), _there(workspace, young)) == (True, False)
    assert young in plan.data.erased


def test_an_erasure_of_a_mistyped_name_is_refused_also_if_the_data_of_an_adapter_is_unknown(
    workspace: Workspace, server: GuardedServer
) -> None:
    sweep(workspace, _quiet, ANNA)
    # the version of the champion is a gap in the new index
    _lose_caches(workspace)
    with open_index(workspace, _quiet) as db:
        assert plan_erasure(db, ServerRecords(server.uri), Subject(speaker="Anna ")).found.unknown
    with pytest.raises(VersioningError, match="nothing in any slot holds speaker bertt"):
        sweep(workspace, _quiet, Subject(speaker="bertt"))


def test_an_erasure_is_refused_in_a_clone_without_tags(workspace: Workspace) -> None:
    git.delete_refs(
        workspace.root, [f"refs/tags/{tag}" for kind in ("data", "golden") for tag in git.tags(workspace.root, kind)]
    )
    before = _with_anna(workspace)
    with pytest.raises(WorkspaceError, match=r"speaker anna is not erased: .*fetch them: git fetch --tags"):
        sweep(workspace, _quiet, ANNA)
    assert _with_anna(workspace) == before


@pytest.mark.parametrize(
    ("lost", "kind", "message"),
    [
        ("shard", UsageError, "drop the recordings first: elp data drop plant/asr --speaker bert"),
        ("listing", VersioningError, "the listing of data/plant/asr/v4, a newest version, cannot be read"),
        ("remote", DataRemoteAway, "is not there; if it is a share, mount it"),
    ],
)
def test_an_erasure_is_refused_while_a_newest_version_has_a_gap(
    workspace: Workspace, lost: str, kind: type[Exception], message: str
) -> None:
    tracked = tracked_hash(git.show(workspace.root, TAGS[3], metafile(SLOT.folder / SHARDS))).removeprefix("md5:")
    with dvc_remote(workspace.root) as stored:
        shards = sorted(stored.listing(tracked).values())
        place = Path(stored.place(tracked if lost == "listing" else shards[0]))
    shutil.rmtree(workspace.root / ".elp" / "remote") if lost == "remote" else place.unlink()
    _lose_caches(workspace)
    before = _with_anna(workspace)
    with pytest.raises(kind, match=message):
        sweep(workspace, _quiet, Subject(speaker="bert"))
    assert _with_anna(workspace) == before


@pytest.mark.parametrize("subject", ["plant/asr@v1", "speaker:bert"])
def test_a_hold_on_a_file_of_an_erasure_refuses_it(
    workspace: Workspace,
    hold: Callable[[str], Callable[[], None]],
    subject: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The data of adapter v1 has doris in its test split only, and bert in the same file."""
    workspace = with_policy(workspace, trash_days=14)
    more = write_delivery(
        tmp_path / "more", each=2, seed=9, **{f"doris_{take}": {"speaker": "emil"} for take in (0, 1)}
    )
    add_delivery(workspace, SLOT, more)
    pin_golden(workspace, SLOT, SLOT.tag(5))
    drop_clips(workspace, SLOT, Subject(speaker="doris"))
    end = hold(subject)
    with pytest.raises(GateRefused, match=r"speaker doris is not erased: hold \d+ by .*; elp data drop takes"):
        sweep(workspace, _quiet, Subject(speaker="doris"))
    _, _, said = elp_in(workspace.root, capsys)("erasure", "plan", "--speaker", "doris")
    assert "HELD: hold " in said
    end()
    sweep(workspace, _quiet, Subject(speaker="doris"))
    sweep(workspace, _quiet)
    assert with_recordings(workspace, "doris") == {"trash"}


def test_the_plan_of_an_erasure_names_a_hold_on_a_version_with_a_missing_file(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    elp = elp_in(workspace.root, capsys)
    with dvc_remote(workspace.root) as stored:
        before, held = (
            set(stored.listing(tracked_hash(git.show(workspace.root, tag, metafile(SLOT.folder / SHARDS)))).values())
            for tag in TAGS[1:3]
        )
        (lost,) = held - before
        Path(stored.place(lost)).unlink()
    _lose_caches(workspace)
    hold(TAGS[2])
    for slot in ((), (str(SLOT),)):
        code, _, said = elp("erasure", "plan", *slot, "--speaker", "anna")
        assert (code, "HELD: hold " in said) == (0, True)
    with pytest.raises(GateRefused, match="speaker anna is not erased: hold"):
        sweep(workspace, _quiet, ANNA)


def test_an_erasure_is_refused_while_the_listing_of_a_held_version_is_lost(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hold keeps files, and which they are is not known."""
    # a version of its own: the ledger of this server records the listings of the others as deleted by policy
    add_delivery(workspace, SLOT, write_delivery(tmp_path / "more", each=2, seed=21))
    drop_clips(workspace, SLOT, ANNA)
    tag = SLOT.tag(5)
    tracked = tracked_hash(git.show(workspace.root, tag, metafile(SLOT.folder / SHARDS)))
    with dvc_remote(workspace.root) as stored:
        Path(stored.place(tracked.removeprefix("md5:"))).unlink()
    _lose_caches(workspace)
    before, end = _with_anna(workspace), hold(tag)
    said = rf"the listing of {tag} cannot be read, .* which files hold \d+ by"
    with pytest.raises(VersioningError, match=said):
        sweep(workspace, _quiet, ANNA)
    code, _, error = elp_in(workspace.root, capsys)("erasure", "plan", "--speaker", "anna")
    assert (code, bool(re.search(said, error))) == (1, True)
    assert _with_anna(workspace) == before
    end()
    sweep(workspace, _quiet, ANNA)
    assert not _with_anna(workspace)


@pytest.mark.parametrize("subject", ["plant/asr@v1", TAGS[0]])
def test_the_plan_of_an_erasure_is_refused_while_the_tag_of_held_data_is_lost(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]], subject: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(subject)
    git.delete_refs(workspace.root, [f"refs/tags/{TAGS[0]}"])
    code, _, error = elp_in(workspace.root, capsys)("erasure", "plan", "--speaker", "anna")
    assert (code, f"lacks the tag {TAGS[0]}" in error) == (1, True)


def test_the_plan_of_an_erasure_is_refused_while_the_share_with_held_files_is_away(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its files count as deleted otherwise, and what was deleted for good needs no hold."""
    elp = elp_in(workspace.root, capsys)
    hold("speaker:bert")
    code, _, said = elp("erasure", "plan", str(SLOT), "--speaker", "anna")
    assert (code, "HELD: hold " in said) == (0, True)
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    shutil.move(workspace.root / ".elp" / "remote", workspace.root / "away")
    code, _, said = elp("erasure", "plan", str(SLOT), "--speaker", "anna")
    assert (code, "is not there; if it is a share, mount it" in said) == (1, True)


def test_a_hold_on_another_speaker_in_files_that_are_gone_refuses_no_erasure(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]]
) -> None:
    with open_index(workspace, _quiet):
        pass
    gone = _with_anna(workspace)
    (other, *_) = {*pq.read_table(min(gone), columns=["speaker"])["speaker"].to_pylist()} - {"anna"}
    for shard in gone | _with_anna(workspace, workspace.root / ".dvc" / "cache"):
        shard.unlink()
    left = _put(workspace, _shard("anna", "with nobody else"))
    hold(f"speaker:{other}")
    sweep(workspace, _quiet, ANNA)
    assert not _there(workspace, left)


def test_a_hold_on_the_speaker_of_a_clip_that_only_the_trash_has_refuses_its_erasure(
    workspace: Workspace, hold: Callable[[str], Callable[[], None]]
) -> None:
    workspace = with_policy(workspace, trash_days=14)
    shard = _put(workspace, _shard("zoe", "in no version"))
    sweep(workspace, _quiet)
    assert not _there(workspace, shard)
    hold("speaker:zoe")
    with pytest.raises(GateRefused, match=r"clip [0-9a-f]{64} is not erased: hold"):
        sweep(workspace, _quiet, Subject(clip=hashlib.sha256(b"in no version").hexdigest()))


def test_an_erasure_that_is_killed_leaves_no_copy_in_the_cache_of_dvc(workspace: Workspace) -> None:
    cache = workspace.root / ".dvc" / "cache"
    only_here = cache / "files" / "md5" / "ab" / ("c" * 30)
    only_here.parent.mkdir(exist_ok=True)
    only_here.write_bytes(_shard("anna", "in no remote"))

    def killed(stored: DvcRemote, seq: int, md5s: list[str]) -> None:
        trash_files(stored, seq, md5s)
        raise KeyboardInterrupt

    assert _with_anna(workspace, cache) > {only_here}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "trash_files", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(workspace, _quiet, ANNA)
    sweep(workspace, _quiet, ANNA)
    assert _with_anna(workspace, cache) == set()
