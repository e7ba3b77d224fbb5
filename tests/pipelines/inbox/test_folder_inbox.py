"""The inbox in a folder: what is complete, taken in once, left in place, and finished after a kill."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import threading
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal

import pytest

from pipelines.errors import DataRefused, IntakeError, RemoteAway, ServiceError, WorkspaceError
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.inbox.inbox_records import LEASE_SECONDS, Claim
from pipelines.inbox.inbox_status import inbox_rows
from pipelines.inbox.slot_inbox import owner_id
from pipelines.inbox.take_deliveries import retry_refused
from pipelines.local.workspace import Workspace
from tests.support.inboxes import SLOT, Clock, Intake, bare_workspace, drop, tree


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.install(monkeypatch)


@pytest.fixture
def bare(tmp_path: Path, clock: Clock) -> Workspace:
    return bare_workspace(tmp_path / "workspace")


@pytest.fixture
def folder(bare: Workspace) -> Path:
    return bare.root / "inbox" / "plant-a" / "asr"


def test_nothing_waits_in_a_workspace_without_an_inbox(bare: Workspace) -> None:
    done = Intake().run(bare)
    assert (done.taken, done.refused, done.left) == ([], [], {})
    assert not (bare.root / "inbox").exists()


def test_complete_deliveries_are_taken_in_by_name_and_moved_with_a_record(bare: Workspace, folder: Path) -> None:
    drop(folder, "tuesday", {"a.wav": b"2", "deep/b.wav": b"3"})
    drop(folder, "monday.zip", b"1")
    intake = Intake()
    done = intake.run(bare)
    assert intake.seen == ["monday.zip", "tuesday"]
    assert [one.version for one in done.taken] == ["data/plant-a/asr/v1", "data/plant-a/asr/v2"]
    assert FolderInbox(folder).entries() == []
    moved = {path.name: path for path in folder.glob(".taken/*/*") if path.name != ".taken.json"}
    assert moved["monday.zip"].read_bytes() == b"1"
    assert tree(moved["tuesday"]) == {"a.wav": b"2", "deep/b.wav": b"3"}
    newest, first = FolderInbox(folder).taken(10)
    assert {newest.name, first.name} == {"monday.zip", "tuesday"}
    assert (newest.host, first.files + newest.files, first.size + newest.size) == (socket.gethostname(), 3, 3)
    assert intake.run(bare).taken == []


def test_a_run_waits_once_for_the_second_look(bare: Workspace, folder: Path, clock: Clock) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    before = clock.now
    assert len(Intake().run(bare).taken) == 1
    assert clock.now == before + 10


def test_an_earlier_look_counts(bare: Workspace, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.inbox.take_deliveries import look_at

    drop(folder, "monday", {"a.wav": b"1"})
    look_at(bare, SLOT, FolderInbox(folder))
    clock.now += 10
    before = clock.now
    assert len(Intake().run(bare).taken) == 1
    assert clock.now == before


def test_a_delivery_that_grows_is_left(
    bare: Workspace, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.inbox import take_deliveries

    drop(folder, "monday", {"a.wav": b"1"})
    drop(folder, "sunday", {"a.wav": b"0"})

    def write_meanwhile(seconds: float) -> None:
        clock.now += seconds
        drop(folder, "monday", {"b.wav": b"2"})

    monkeypatch.setattr(take_deliveries.time, "sleep", write_meanwhile)
    intake = Intake()
    done = intake.run(bare)
    assert intake.seen == ["sunday"]
    assert "not been the same for 10 s" in done.left["monday"]


def test_a_look_before_a_reboot_does_not_count_as_later(bare: Workspace, folder: Path, clock: Clock) -> None:
    from pipelines.inbox.take_deliveries import look_at

    drop(folder, "monday", {"a.wav": b"1"})
    look_at(bare, SLOT, FolderInbox(folder))
    clock.now = 4.0
    ((_, ready),) = look_at(bare, SLOT, FolderInbox(folder))
    assert (ready.state, ready.wait) == ("incomplete", 6.0)
    clock.now = 10.0
    ((_, ready),) = look_at(bare, SLOT, FolderInbox(folder))
    assert ready.state == "complete"


@pytest.mark.parametrize(
    "name",
    [".hidden", "clip.part", "x.tmp", "~$table.xlsx", "Thumbs.db", ".DS_Store", "a.filepart", "b.crdownload", ".~lock",
     "._x", "only.done", "X.PART"],
)  # fmt: skip
def test_these_names_are_no_deliveries(bare: Workspace, folder: Path, name: str) -> None:
    drop(folder, name, b"1")
    drop(folder, "real.zip", b"2")
    intake = Intake()
    intake.run(bare)
    assert intake.seen == ["real.zip"]
    assert (folder / name).exists()


def test_a_folder_with_a_half_file_in_it_is_incomplete(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1", "deep/b.wav.part": b"2"})
    drop(folder, "empty", {})
    done = Intake().run(bare)
    assert done.left == {"monday": "deep/b.wav.part is still being written", "empty": "it holds no file yet"}


def test_what_systems_leave_behind_does_not_keep_a_delivery_back(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1", ".DS_Store": b"x", "Thumbs.db": b"y", "._a.wav": b"z"})
    assert [one.files for one in Intake().run(bare).taken] == [1]


def test_a_marker_makes_a_delivery_complete_at_once(bare: Workspace, folder: Path, clock: Clock) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    drop(folder, "monday.done", b"")
    before = clock.now
    assert len(Intake().run(bare).taken) == 1
    assert clock.now == before
    assert len(list(folder.glob(".taken/*/monday.done"))) == 1
    assert not (folder / "monday.done").exists()


def test_only_a_marker_counts_if_the_settings_say_so(tmp_path: Path, clock: Clock) -> None:
    bare = bare_workspace(tmp_path / "w", complete="marker")
    folder = bare.root / "inbox/plant-a/asr"
    drop(folder, "monday", {"a.wav": b"1"})
    # copied with the time of a machine whose clock is ahead
    os.utime(folder / "monday" / "a.wav", (9e9, 9e9))
    intake = Intake()
    assert intake.run(bare).left == {"monday": "it waits for its marker monday.done"}
    drop(folder, "monday.done", b"")
    os.utime(folder / "monday.done", (1, 1))
    assert "older than monday/a.wav: write it last" in intake.run(bare).left["monday"]
    os.utime(folder / "monday.done")
    assert len(intake.run(bare).taken) == 1


def _sums(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


def test_a_list_of_digests_makes_a_delivery_complete(bare: Workspace, folder: Path, clock: Clock) -> None:
    files = {"a.wav": b"1", "deep/b.wav": b"2"}
    drop(folder, "monday", {"SHA256SUMS": _sums(files), "a.wav": b"1"})
    intake = Intake()
    assert intake.run(bare).left == {"monday": "not there yet: deep/b.wav of SHA256SUMS"}
    clock.now += 100
    assert intake.run(bare).left == {"monday": "not there yet: deep/b.wav of SHA256SUMS"}
    drop(folder, "monday", {"deep/b.wav": b""})
    assert [row.detail for row in inbox_rows(bare)] == ["deep/b.wav differs from its digest in SHA256SUMS"]
    drop(folder, "monday", {"deep/b.wav": b"2"})
    before = clock.now
    assert len(intake.run(bare).taken) == 1
    assert clock.now == before


def test_a_file_that_differs_from_its_digest_for_good_is_refused(bare: Workspace, folder: Path, clock: Clock) -> None:
    drop(folder, "monday", {"manifest-sha256.txt": _sums({"a.wav": b"1"}), "a.wav": b"0"})
    intake, before = Intake(), clock.now
    # after a second look in the same run, which may be the only one on this machine
    (refused,) = intake.run(bare).refused
    assert refused.reason == "a.wav differs from its digest in manifest-sha256.txt"
    assert (intake.seen, clock.now) == ([], before + 10)


def test_one_that_differs_from_its_digest_at_the_first_look_only_is_taken_in(
    bare: Workspace, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.inbox import take_deliveries

    drop(folder, "monday", {"SHA256SUMS": _sums({"a.wav": b"1"}), "a.wav": b""})
    monkeypatch.setattr(take_deliveries.time, "sleep", lambda _: drop(folder, "monday", {"a.wav": b"1"}))
    assert [one.name for one in Intake().run(bare).taken] == ["monday"]


@pytest.mark.parametrize(("listed", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_list_of_digests_in_another_unicode_form_names_the_same_files(
    bare: Workspace, folder: Path, listed: Literal["NFC", "NFD"], written: Literal["NFC", "NFD"]
) -> None:
    here, there = (unicodedata.normalize(form, "が/ü.wav") for form in (written, listed))
    assert here != there
    drop(folder, "monday", {"SHA256SUMS": _sums({there: b"1"}), here: b"1"})
    # an exact name counts first, and each line is checked
    drop(folder, "tuesday", {"SHA256SUMS": _sums({there: b"1", here: b"2"}), here: b"2", there: b"1"})
    drop(folder, "wednesday", {"SHA256SUMS": _sums({there: b"1", here: b"2"}), here: b"2"})
    done = Intake().run(bare)
    assert [one.name for one in done.taken] == ["monday", "tuesday"]
    assert [(one.name, one.reason) for one in done.refused] == [
        ("wednesday", f"{there} differs from its digest in SHA256SUMS")
    ]


def test_digests_that_could_not_be_read_are_checked_again(
    bare: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "monday", {"SHA256SUMS": _sums({"a.wav": b"1"}), "a.wav": b"1"})

    def denied(self: FolderInbox, entry: str, name: str) -> BinaryIO:
        raise PermissionError(errno.EACCES, "Permission denied", name)

    with monkeypatch.context() as patch:
        patch.setattr(FolderInbox, "open_file", denied)
        reason = "not there yet: a file cannot be read (Permission denied)"
        assert Intake().run(bare).left == {"monday": reason}
        assert [(row.state, row.detail) for row in inbox_rows(bare)] == [("incomplete", reason)]
    # nothing of the listing has changed
    assert [row.state for row in inbox_rows(bare)] == ["waiting"]
    assert [one.name for one in Intake().run(bare).taken] == ["monday"]


def test_what_an_earlier_release_did_not_find_is_checked_again_by_a_look(bare: Workspace, folder: Path) -> None:
    from pipelines.inbox.inbox_looks import read_looks, write_looks

    drop(folder, "monday", {"SHA256SUMS": _sums({"a.wav": b"1"}), "a.wav": b"1"})
    inbox_rows(bare)
    looks = read_looks(bare, SLOT, bare.settings.inbox_of(SLOT))
    found = replace(looks.entries["monday"], digests="not there yet: a.wav of SHA256SUMS")
    write_looks(bare, SLOT, replace(looks, entries={"monday": found}))
    assert [row.state for row in inbox_rows(bare)] == ["waiting"]


def test_a_retry_on_another_machine_lets_a_run_check_the_digests_again(tmp_path: Path, clock: Clock) -> None:
    base = drop(tmp_path, "mnt", {})
    control, clone = (bare_workspace(tmp_path / name, path=str(base)) for name in ("control", "clone"))
    monday = drop(base / "plant-a/asr", "monday", {"SHA256SUMS": _sums({"a.wav": b"1"}), "a.wav": b"0"})
    intake = Intake()
    assert [one.name for one in intake.run(clone).refused] == ["monday"]
    # a disk that returned other bytes: names, sizes and times are the same now
    before = (monday / "a.wav").stat()
    (monday / "a.wav").write_bytes(b"1")
    os.utime(monday / "a.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert intake.run(clone).left == {"monday": "it was refused before and has not changed"}
    assert retry_refused(control, SLOT) == ["monday"]
    assert [one.name for one in intake.run(clone).taken] == ["monday"]


@pytest.mark.parametrize("error", [IntakeError("no audio in it"), DataRefused("plant-a/asr", ["too few speakers"])])
def test_a_refused_delivery_is_left_reported_once_and_not_tried_again_until_it_changes(
    bare: Workspace, folder: Path, clock: Clock, error: Exception
) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    drop(folder, "tuesday", {"a.wav": b"2"})
    intake = Intake(refuse={"monday": error})
    done = intake.run(bare)
    assert [one.reason for one in done.refused] == [str(error)]
    assert [one.name for one in done.taken] == ["tuesday"]
    assert tree(folder / "monday") == {"a.wav": b"1"}
    again = intake.run(bare)
    assert again.left == {"monday": "it was refused before and has not changed"}
    assert (intake.seen, len(intake.reported)) == (["monday", "tuesday"], 1)
    del intake.refuse["monday"]
    drop(folder, "monday", {"a.wav": b"corrected"})
    assert [one.name for one in intake.run(bare).taken] == ["monday"]
    assert FolderInbox(folder).refusals() == []


def test_the_reason_names_the_place_where_the_delivery_is(bare: Workspace, folder: Path) -> None:
    class Strict(Intake):
        def __call__(self, path: Path) -> str:
            raise IntakeError(f"{path} has no known format; see what is in it with: elp data inspect {path}")

    drop(folder, "monday", {"a.wav": b"1"})
    (refused,) = Strict().run(bare).refused
    place = folder / "monday"
    assert refused.reason == f"{place} has no known format; see what is in it with: elp data inspect {place}"
    assert place.is_dir()


def test_a_refused_delivery_can_be_tried_again_as_it_is(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    intake = Intake(refuse={"monday": IntakeError("no audio in it")})
    intake.run(bare)
    with pytest.raises(WorkspaceError, match=r"sunday was not refused .* refused: monday"):
        retry_refused(bare, SLOT, ("sunday",))
    assert retry_refused(bare, SLOT) == ["monday"]
    intake.refuse.clear()
    assert [one.name for one in intake.run(bare).taken] == ["monday"]


def test_a_report_that_fails_is_made_by_the_next_run(bare: Workspace, folder: Path) -> None:
    from pipelines.inbox.take_deliveries import take_waiting

    def away(_: object) -> None:
        raise ConnectionError("Prefect is away")

    drop(folder, "monday", {"a.wav": b"1"})
    intake = Intake(refuse={"monday": IntakeError("no audio in it")})
    take_waiting(bare, SLOT, intake, away)
    intake.run(bare)
    intake.run(bare)
    assert [one.name for one in intake.reported] == ["monday"]


def test_an_error_of_a_service_puts_the_delivery_back(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    drop(folder, "monday.done", b"")
    intake = Intake(refuse={"monday": ServiceError("the remote is away")})
    with pytest.raises(ServiceError, match="away"):
        intake.run(bare)
    assert (folder / "monday.done").exists()
    assert FolderInbox(folder).claims() == []
    intake.refuse.clear()
    assert len(intake.run(bare).taken) == 1


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_what_is_neither_file_nor_folder_is_refused_and_never_opened(bare: Workspace, folder: Path, kind: str) -> None:
    folder.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(folder / "monday")
    else:
        (folder / "monday").symlink_to("/etc" if kind == "link" else "/nowhere")
    intake = Intake()
    (refused,) = intake.run(bare).refused
    assert "put the files themselves there" in refused.reason
    assert intake.seen == []


@pytest.mark.parametrize("error", [ServiceError("503"), RemoteAway("no answer"), WorkspaceError("no right"), OSError()])
def test_a_renewal_that_fails_is_made_again(
    bare: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from pipelines.inbox import take_deliveries

    drop(folder, "monday", {"a.wav": b"1"})
    tries, enough = list[str](), threading.Event()

    def renew(self: FolderInbox, claim: Claim) -> None:
        tries.append(claim.name)
        if len(tries) > 2:
            enough.set()
        raise error

    class Slow(Intake):
        def __call__(self, path: Path) -> str:
            assert enough.wait(20)
            return super().__call__(path)

    monkeypatch.setattr(take_deliveries, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(FolderInbox, "renew", renew)
    assert [one.name for one in Slow().run(bare).taken] == ["monday"]


def test_a_claim_of_a_killed_run_of_this_machine_is_finished_at_once(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    inbox = FolderInbox(folder)
    assert inbox.claim(inbox.entries()[0], owner_id(bare))
    intake = Intake()
    assert [one.name for one in intake.run(bare).taken] == ["monday"]
    assert inbox.claims() == []


def test_a_claim_of_another_machine_is_left_until_its_lease_ends(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    inbox = FolderInbox(folder)
    claim = inbox.claim(inbox.entries()[0], "another")
    assert claim
    intake = Intake()
    assert intake.run(bare).left == {"monday": f"it is being taken in by {socket.gethostname()}"}
    inbox.renew(claim)
    old = time.time() - LEASE_SECONDS - 5
    os.utime(Path(claim.place) / ".claim.json", (old, old))
    assert [one.name for one in intake.run(bare).taken] == ["monday"]
    assert not inbox.holds(claim)


def test_a_claim_that_was_lost_makes_no_record(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    inbox = FolderInbox(folder)

    class Lost(Intake):
        def __call__(self, path: Path) -> str:
            (claim,) = inbox.claims()
            assert inbox.take_over(claim, owner_id(bare))
            return super().__call__(Path(inbox.claims()[0].place) / path.name)

    intake = Lost()
    intake.run(bare)
    assert [row.state for row in inbox_rows(bare)] == ["claimed"]
    assert [path for path in folder.rglob(".taken*")] == []
    Intake().run(bare)
    assert [row.state for row in inbox_rows(bare)] == ["taken"]
    assert {path.name for path in folder.glob(".taken/*/*")} == {"monday", ".taken.json"}


def test_a_renewed_claim_is_young_for_an_earlier_release_too(folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    inbox = FolderInbox(folder)
    claim = inbox.claim(inbox.entries()[0], "one")
    assert claim
    place = Path(claim.place)
    for renewed in (lambda: inbox.renew(claim), lambda: inbox.take_over(claim, "another")):
        for path in (place, place / ".claim.json"):
            os.utime(path, (1, 1))
        before = time.time()
        renewed()
        place = next(folder.glob(".claimed/2*"))
        # it sees no claim.json, and takes the age of the folder
        assert min(path.stat().st_mtime for path in (place, place / ".claim.json")) > before - 60


def test_a_delivery_that_was_taken_in_and_not_moved_is_moved(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    inbox = FolderInbox(folder)
    claim = inbox.claim(inbox.entries()[0], owner_id(bare))
    assert claim
    (Path(claim.place) / ".taken.json").write_text(
        json.dumps({"name": "monday", "fingerprint": "f" * 32, "version": "v1", "at": "", "host": "h"})
    )
    intake = Intake()
    assert intake.run(bare).taken == []
    assert intake.seen == []
    assert [one.version for one in inbox.taken(5)] == ["v1"]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("name", ["claim.json", "taken.json"])
def test_a_delivery_named_like_a_record_of_earlier_releases_is_kept(
    bare: Workspace, folder: Path, name: str, killed: bool
) -> None:
    drop(folder, name, b"{}")
    inbox = FolderInbox(folder)
    if killed:
        assert inbox.claim(inbox.entries()[0], owner_id(bare))
    intake = Intake(refuse={name: IntakeError("no audio in it")})
    assert [one.name for one in intake.run(bare).refused] == [name]
    assert (folder / name).read_bytes() == b"{}"
    intake.refuse.clear()
    retry_refused(bare, SLOT)
    assert [one.name for one in intake.run(bare).taken] == [name]
    (place,) = (folder / ".taken").iterdir()
    assert {path.name for path in place.iterdir()} == {name, ".taken.json"}
    assert (place / name).read_bytes() == b"{}"


def _as_earlier_release(place: Path) -> None:
    """Give the records of a claimed or taken delivery the names that they had."""
    for path in place.glob(".*.json"):
        path.rename(place / path.name.removeprefix("."))


@pytest.mark.parametrize("ended", ["kill", "lease", "refused"])
def test_a_claim_of_an_earlier_release_is_finished(bare: Workspace, folder: Path, ended: str) -> None:
    drop(folder, "taken.json", b"{}")
    inbox = FolderInbox(folder)
    claim = inbox.claim(inbox.entries()[0], "another" if ended == "lease" else owner_id(bare))
    assert claim
    _as_earlier_release(Path(claim.place))
    intake = Intake(refuse={"taken.json": IntakeError("no")} if ended == "refused" else {})
    if ended == "lease":
        assert list(intake.run(bare).left) == ["taken.json"]
        old = time.time() - LEASE_SECONDS - 5
        os.utime(Path(claim.place) / "claim.json", (old, old))
    done = intake.run(bare)
    assert [one.name for one in (*done.taken, *done.refused)] == ["taken.json"]
    assert sum(path.is_dir() for path in (folder / ".claimed").iterdir()) == 0
    left = [path.relative_to(folder).parts[-1] for path in (folder / ".taken").rglob("*.json")]
    assert sorted(left) == ([] if ended == "refused" else [".taken.json", "taken.json"])


def test_a_delivery_that_an_earlier_release_replaced_its_record_with_is_found(bare: Workspace, folder: Path) -> None:
    drop(folder / ".claimed" / "1", "claim.json", b"not a record")
    os.utime(folder / ".claimed" / "1" / "claim.json", (1, 1))
    assert [one.name for one in Intake().run(bare).taken] == ["claim.json"]


def test_what_an_earlier_release_took_in_is_listed_and_moved(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    Intake().run(bare)
    inbox = FolderInbox(folder)
    (place,) = (folder / ".taken").iterdir()
    _as_earlier_release(place)
    assert [one.name for one in inbox.taken(5)] == ["monday"]
    # killed before the move
    record = json.dumps({"name": "monday", "fingerprint": "f" * 32, "owner": "o", "host": "h", "at": ""})
    (place / "claim.json").write_text(record)
    place.rename(folder / ".claimed" / place.name)
    assert (Intake().run(bare).taken, inbox.claims()) == ([], [])
    assert {path.name for path in place.iterdir()} == {"monday", "taken.json"}


def test_a_claim_folder_without_content_or_record_is_tidied_or_finished(bare: Workspace, folder: Path) -> None:
    old = time.time() - LEASE_SECONDS - 5
    empty, full = folder / ".claimed" / "1", folder / ".claimed" / "2"
    empty.mkdir(parents=True)
    drop(full, "monday", {"a.wav": b"1"})
    drop(full, "monday.done", b"")
    os.utime(full, (old, old))
    intake = Intake()
    assert inbox_rows(bare)[0].name == "monday", "a young one without content is no delivery"
    assert len(inbox_rows(bare)) == 1
    done = intake.run(bare)
    assert ([one.name for one in done.taken], done.left) == (["monday"], {})
    os.utime(empty, (old, old))
    assert intake.run(bare).taken == []
    assert [p for p in (folder / ".claimed").iterdir() if p.is_dir()] == []


def test_a_new_delivery_of_the_same_name_is_not_replaced_by_a_refused_one(bare: Workspace, folder: Path) -> None:
    drop(folder, "monday.zip", b"1")
    intake = Intake(refuse={"monday.zip": IntakeError("no audio in it")})
    call = intake.__call__

    class Meanwhile(Intake):
        def __call__(self, path: Path) -> str:
            drop(folder, "monday.zip", b"2")
            return call(path)

    Meanwhile().run(bare)
    contents = sorted(path.read_bytes() for path in folder.glob("monday*.zip"))
    assert contents == [b"1", b"2"]


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "会議 1", "a\nb", "x" * 200, "-rf", "{{x}}"])
def test_odd_names_are_taken_in_and_shown_on_one_line(bare: Workspace, folder: Path, name: str) -> None:
    drop(folder, name, {os.fsdecode(b"\xff.wav"): b"1"})
    intake = Intake(refuse={name: IntakeError("no")})
    (refused,) = intake.run(bare).refused
    assert refused.name == name
    (shown,) = retry_refused(bare, SLOT)
    assert shown.isprintable()
    shown.encode()
    intake.refuse.clear()
    assert [one.name for one in intake.run(bare).taken] == [name]


def test_a_folder_that_this_machine_cannot_see_is_an_error_with_its_name(tmp_path: Path, clock: Clock) -> None:
    bare = bare_workspace(tmp_path / "w", path=str(tmp_path / "mnt"))
    with pytest.raises(WorkspaceError, match=f"mnt of plant-a/asr does not exist on {socket.gethostname()}"):
        Intake().run(bare)
    (tmp_path / "mnt").mkdir()
    assert Intake().run(bare).left == {}


def test_a_mount_point_that_is_not_mounted_any_more_is_an_error(tmp_path: Path, clock: Clock) -> None:
    from pipelines.inbox.inbox_looks import read_looks, write_looks

    bare = bare_workspace(tmp_path / "w", path=str(tmp_path / "mnt"))
    (tmp_path / "mnt").mkdir()
    Intake().run(bare)
    looks = read_looks(bare, SLOT, bare.settings.inbox_of(SLOT))
    assert looks.mount
    write_looks(bare, SLOT, type(looks)(looks.address, str(tmp_path / "mnt"), looks.entries))
    with pytest.raises(WorkspaceError, match="which is not mounted now"):
        Intake().run(bare)


def test_with_workers_that_read_a_clone_the_folder_of_the_workspace_is_an_error(bare: Workspace, folder: Path) -> None:
    remote = Workspace(bare.root, replace(bare.settings, git="ssh://elp@control/srv/foundry.git"))
    assert Intake().run(remote).left == {}
    drop(folder, "monday", {"a.wav": b"1"})
    with pytest.raises(
        WorkspaceError, match=f"on {socket.gethostname()}, which no worker can see, because git: is set"
    ):
        Intake().run(remote)


@pytest.mark.parametrize("name", ["a\nb.wav", "a\\b.wav", "a\u2028b.wav", " 会議 .wav", "a\x0bb.wav"])
def test_a_list_of_digests_by_sha256sum_names_every_file(bare: Workspace, folder: Path, name: str) -> None:
    made = drop(folder, "monday", {name: b"1", "plain.wav": b"2"})
    listed = subprocess.run(["sha256sum", name, "plain.wav"], cwd=made, check=True, capture_output=True).stdout
    (made / "SHA256SUMS").write_bytes(listed)
    done = Intake().run(bare)
    assert (len(done.taken), done.left) == (1, {})


@pytest.mark.parametrize("broken", ["monday.zip", "monday.zip.done"])
def test_a_rename_that_fails_leaves_everything_in_place(
    bare: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    drop(folder, "monday.zip", b"1")
    drop(folder, "monday.zip.done", b"")
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if Path(source).name == broken and Path(source).parent == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        real(source, target)

    intake = Intake()
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        with pytest.raises(WorkspaceError, match=r"cannot be claimed on .*Permission denied"):
            intake.run(bare)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["monday.zip", "monday.zip.done"]
    assert list((folder / ".claimed").glob("*/*")) == []
    assert [one.name for one in intake.run(bare).taken] == ["monday.zip"]


def test_the_same_content_under_two_names_is_in_the_data_once(bare: Workspace, folder: Path, clock: Clock) -> None:
    drop(folder, "monday.zip", b"1")
    drop(folder, "copy of monday.zip", b"1")
    intake = Intake()
    taken = intake.run(bare).taken
    assert [one.name for one in taken] == ["copy of monday.zip", "monday.zip"]
    assert len({one.version for one in taken}) == 1
    assert len(intake.kept) == 1
