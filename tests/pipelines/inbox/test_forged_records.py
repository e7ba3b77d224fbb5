"""A sender forges records, keys and links in an inbox: nothing outside it is read, written, moved or deleted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import IntakeError, WorkspaceError
from pipelines.inbox import slot_inbox
from pipelines.inbox.bucket_inbox import BucketInbox
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.inbox.inbox_entry import shown_name
from pipelines.inbox.inbox_records import Claim, Refusal, Taken, read_record_json, record_json
from pipelines.inbox.inbox_status import inbox_rows
from pipelines.inbox.slot_inbox import owner_id
from pipelines.inbox.take_deliveries import retry_refused
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.inboxes import SLOT, Clock, Intake, MemoryBucket, bare_workspace, drop

FINGERPRINT = "f" * 32


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    Clock.install(monkeypatch)
    return bare_workspace(tmp_path / "workspace")


@pytest.fixture
def folder(bare: Workspace) -> Path:
    return drop(bare.root / "inbox" / "plant-a", "asr", {})


@pytest.fixture
def outside(bare: Workspace) -> Path:
    """Files of the worker that are none of the inbox's."""
    return drop(bare.root, "secret", {"schedules.json": b"{}", "a.wav": b"1", "deep/b.wav": b"2"})


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    paths = [folder, *folder.rglob("*")]
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in paths}


def _forged_claim(place: Path, name: str) -> None:
    drop(place.parent, place.name, {".claim.json": record_json(Claim(name, FINGERPRINT, "o", "h", "")).encode()})
    for path in (place / ".claim.json", place):
        os.utime(path, (1, 1))


def _name_out_of_the_inbox(folder: Path, outside: Path) -> None:
    _forged_claim(folder / ".claimed" / "1", "../../../../../secret")


def _name_of_a_link(folder: Path, outside: Path) -> None:
    drop(folder, ".claimed/1", {})
    (folder / ".claimed/1/monday").symlink_to(outside)
    _forged_claim(folder / ".claimed" / "1", "monday")


def _link_without_a_record(folder: Path, outside: Path) -> None:
    drop(folder, ".claimed/1", {})
    (folder / ".claimed/1/monday").symlink_to(outside)
    os.utime(folder / ".claimed/1", (1, 1))


def _claim_that_is_a_link(folder: Path, outside: Path) -> None:
    drop(folder, ".claimed", {})
    (folder / ".claimed/1").symlink_to(outside)
    os.utime(outside, (1, 1))


def _record_that_is_a_link(folder: Path, outside: Path) -> None:
    drop(folder, ".claimed/1/monday", {"a.wav": b"1"})
    (folder / ".claimed/1/.claim.json").symlink_to(outside / "schedules.json")
    os.utime(folder / ".claimed/1", (1, 1))


def _clock_that_is_a_link(folder: Path, outside: Path) -> None:
    _forged_claim(folder / ".claimed" / "1", "monday")
    (folder / ".claimed/.clock").symlink_to(outside / "schedules.json")


def _refusal_of_another_file(folder: Path, outside: Path) -> None:
    forged = record_json(Refusal("monday", "../../../../secret/schedules", "", "", ""))
    drop(folder, f".refused/{FINGERPRINT}.json", forged.encode())


def _refusal_that_is_a_link(folder: Path, outside: Path) -> None:
    drop(folder, ".refused", {})
    (folder / f".refused/{FINGERPRINT}.json").symlink_to(outside / "schedules.json")
    os.mkfifo(folder / ".refused/pipe.json")


def _names_that_no_file_can_have(folder: Path, outside: Path) -> None:
    refusal, taken = Refusal("\ud800", FINGERPRINT, "\ud800", "", ""), Taken("\ud800", FINGERPRINT, "\ud800", "", "")
    drop(folder, f".refused/{FINGERPRINT}.json", record_json(refusal).encode())
    drop(folder, ".taken/1", {".taken.json": record_json(taken).encode()})


def _record_of_a_taken_one_that_is_a_link(folder: Path, outside: Path) -> None:
    drop(folder, ".taken/1", {})
    (folder / ".taken/1/.taken.json").symlink_to(outside / "schedules.json")
    (folder / ".taken/2").symlink_to(outside)


@pytest.mark.parametrize(
    "forge",
    [
        _name_out_of_the_inbox,
        _name_of_a_link,
        _link_without_a_record,
        _claim_that_is_a_link,
        _record_that_is_a_link,
        _clock_that_is_a_link,
        _refusal_of_another_file,
        _refusal_that_is_a_link,
        _names_that_no_file_can_have,
        _record_of_a_taken_one_that_is_a_link,
    ],
)
def test_a_forged_folder_leads_nowhere_and_stops_no_delivery(
    bare: Workspace, folder: Path, outside: Path, forge: Callable[[Path, Path], None]
) -> None:
    forge(folder, outside)
    before = _state(outside)
    drop(folder, "tuesday", {"a.wav": b"2"})
    intake = Intake()
    inbox_rows(bare)
    intake.run(bare)
    intake.run(bare)
    shown = [shown_name(one.name) for one in intake.reported]
    shown += [*retry_refused(bare, SLOT), *(row.name for row in inbox_rows(bare))]
    assert all(map(str.isprintable, shown))
    assert _state(outside) == before
    # this one has a delivery of its own in the claim
    assert set(intake.seen) == {"tuesday", *(["monday"] if forge == _record_that_is_a_link else [])}


@pytest.mark.parametrize("kind", [".claimed", ".taken", ".refused"])
def test_a_folder_of_records_that_is_a_link_is_an_error(
    bare: Workspace, folder: Path, outside: Path, kind: str
) -> None:
    (folder / kind).symlink_to(outside)
    drop(folder, "tuesday", {"a.wav": b"2"})
    before, intake = _state(outside), Intake(refuse={"tuesday": IntakeError("no")})
    with pytest.raises(WorkspaceError, match=rf"{kind} on .* is a link, .* remove the link"):
        intake.run(bare)
    assert (_state(outside), intake.seen) == (before, [])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    made = MemoryBucket()
    monkeypatch.setattr(slot_inbox, "open_bucket", lambda address, endpoint: BucketInbox(made, "in/"))
    return made


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    Clock.install(monkeypatch)
    return bare_workspace(tmp_path / "workspace", path="s3://memory/in")


UP = "../../../../secret/schedules.json"
"""From the folder into which a delivery is fetched, to a file of the worker."""


@pytest.mark.parametrize("name", [UP, "monday/../" + UP, "monday", "..", "a\0", "\ud800", "x" * 300])
def test_a_forged_claim_in_a_bucket_writes_no_file_elsewhere(
    stored: Workspace, bucket: MemoryBucket, name: str
) -> None:
    secret = drop(stored.root, "secret/schedules.json", b"{}")
    bucket.content = {
        f"in/.claimed/{FINGERPRINT}.0.json": json.dumps(
            {"name": name, "fingerprint": FINGERPRINT, "owner": "o", "host": "h", "at": ""}
        ).encode(),
        f"in/{UP}": b"forged",
        f"in/monday/../{UP}": b"forged",
        "in/tuesday": b"2",
    }
    intake = Intake()
    done = intake.run(stored)
    assert (secret.read_bytes(), list(secret.parent.iterdir())) == (b"{}", [secret])
    assert intake.seen == ["tuesday"]
    assert {"a name that no file can have" in one.reason for one in done.refused} == {True}
    assert [key for key in bucket.content if key.startswith("in/.claimed")] == []


def test_an_object_that_comes_after_the_claim_is_looked_at_too(
    stored: Workspace, bucket: MemoryBucket, tmp_path: Path
) -> None:
    bucket.content = {"in/monday/a.wav": b"1"}
    inbox = BucketInbox(bucket, "in/")
    assert inbox.claim(inbox.entries()[0], owner_id(stored))
    bucket.content["in/monday/../../secret"] = b"forged"
    intake = Intake()
    (refused,) = intake.run(stored).refused
    assert "no file can have" in refused.reason
    assert (intake.seen, list(tmp_path.glob("**/secret"))) == ([], [])


def test_a_delivery_that_is_written_again_after_a_kill_is_looked_at_again(
    stored: Workspace, bucket: MemoryBucket
) -> None:
    bucket.content = {"in/monday/a.wav": b"1"}
    inbox, intake = BucketInbox(bucket, "in/"), Intake()
    assert inbox.claim(inbox.entries()[0], owner_id(stored))
    bucket.content |= {"in/monday/a.wav": b"2", "in/monday/b.wav.part": b"3"}
    assert intake.run(stored).left == {"monday": "b.wav.part is still being written"}
    bucket.content["in/monday/b.wav"] = bucket.content.pop("in/monday/b.wav.part")
    intake.run(stored)
    assert list(intake.kept.values()) == [{"a.wav": b"2", "b.wav": b"3"}]
    assert [key for key in bucket.content if key.startswith("in/.claimed")] == []


def test_the_same_delivery_of_two_slots_at_once_is_fetched_for_each(
    monkeypatch: pytest.MonkeyPatch, stored: Workspace, bucket: MemoryBucket
) -> None:
    inboxes = {"s3://memory/in/plant-a/asr": "in/", "s3://memory/in/plant-a/ser": "other/"}
    monkeypatch.setattr(slot_inbox, "open_bucket", lambda address, _: BucketInbox(bucket, inboxes[address]))
    bucket.content = {"in/monday/a.wav": b"1", "other/monday/a.wav": b"1"}

    class During(Intake):
        def __call__(self, path: Path) -> str:
            assert len(Intake().run(stored, Slot("plant-a", "ser")).taken) == 1
            return super().__call__(path)

    intake = During()
    intake.run(stored)
    assert list(intake.kept.values()) == [{"a.wav": b"1"}]


def test_what_a_killed_run_has_fetched_is_removed(stored: Workspace, bucket: MemoryBucket) -> None:
    fetched = stored.state / "inbox" / "fetched"
    # the second name is one of earlier releases
    for name in ("plant-a.asr", "0123456789abcdef", "plant-b.asr"):
        drop(fetched, name, {"monday/a.wav": b"1"})
    Intake().run(stored)
    assert os.listdir(fetched) == ["plant-b.asr"]


@pytest.mark.parametrize("name", ["b.wav.part", "pipe"])
def test_a_claimed_folder_with_a_half_file_or_a_pipe_goes_back(bare: Workspace, folder: Path, name: str) -> None:
    drop(folder, "monday", {"a.wav": b"1"})
    drop(folder, "monday.done", b"")
    inbox, intake = FolderInbox(folder), Intake()
    claim = inbox.claim(inbox.entries()[0], owner_id(bare))
    assert claim
    os.mkfifo(Path(claim.place) / "monday" / name)
    assert intake.run(bare).left["monday"].startswith(name)
    assert (intake.seen, sorted(os.listdir(folder))) == ([], [".claimed", "monday", "monday.done"])
    (folder / "monday" / name).unlink()
    (folder / "monday.done").touch()
    assert [one.name for one in intake.run(bare).taken] == ["monday"]


@pytest.mark.parametrize("key", ["²", "9" * 900, "", "x", "-1", "a/b"])
def test_a_claim_with_an_odd_number_stops_no_delivery(stored: Workspace, bucket: MemoryBucket, key: str) -> None:
    bucket.content = {f"in/.claimed/{FINGERPRINT}.{key}.json": b"[" * 100_000, "in/tuesday": b"2"}
    assert [one.name for one in Intake().run(stored).taken] == ["tuesday"]


@pytest.mark.parametrize("fingerprint", ["a/../../..", "..", "F" * 32, "f" * 31, FINGERPRINT + "\n", "f/" * 16])
@pytest.mark.parametrize("kind", [Claim, Refusal, Taken])
def test_a_record_whose_fingerprint_is_none_is_damaged(kind: type[Claim | Refusal | Taken], fingerprint: str) -> None:
    assert read_record_json(kind, record_json(kind("monday", FINGERPRINT, "", "", "")))
    assert read_record_json(kind, record_json(kind("monday", fingerprint, "", "", ""))) is None


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", ".", "a\0", "\ud800", "x" * 256, ".hidden", "x.part"])
def test_a_claim_of_what_is_no_delivery_is_damaged(name: str) -> None:
    assert read_record_json(Claim, record_json(Claim(name, FINGERPRINT, "", "", ""))) is None
