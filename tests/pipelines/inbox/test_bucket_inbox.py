"""The inbox in a bucket of a real S3 store: claims by conditional puts, deliveries taken once, killed runs finished."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError

from pipelines.errors import IntakeError, OpsError, RemoteAway, WorkspaceError
from pipelines.inbox import bucket_client, slot_inbox, take_deliveries
from pipelines.inbox.bucket_client import Bucket, fetch_object
from pipelines.inbox.bucket_inbox import BucketInbox, open_bucket
from pipelines.inbox.delivery_completeness import check_digests
from pipelines.inbox.inbox_entry import Entry, ListedFile
from pipelines.inbox.inbox_records import LEASE_SECONDS, Claim
from pipelines.inbox.inbox_status import inbox_rows
from pipelines.inbox.slot_inbox import inbox_slots, owner_id
from pipelines.inbox.take_deliveries import retry_refused
from pipelines.local.workspace import Workspace
from pipelines.s3_client import open_s3
from tests.support.inboxes import SLOT, Clock, Intake, MemoryBucket, bare_workspace
from tests.support.object_store import OWNER, READER, ObjectStore, object_store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        running.bucket("deliveries")
        yield running


@pytest.fixture
def address(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of the test's own; one bucket for all tests, since each bucket takes volumes of the store."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER.access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER.secret)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return f"s3://deliveries/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.install(monkeypatch)


@pytest.fixture
def bare(tmp_path: Path, address: str, clock: Clock) -> Workspace:
    return bare_workspace(tmp_path / "workspace", path=address)


@pytest.fixture
def inbox(address: str) -> BucketInbox:
    return open_bucket(f"{address}/plant-a/asr", "")


def _drop(store: ObjectStore, inbox: BucketInbox, files: dict[str, bytes]) -> None:
    client = store.client()
    for name, content in files.items():
        client.put_object(Bucket=inbox.bucket.name, Key=f"{inbox.prefix}{name}", Body=content)


def test_deliveries_are_taken_once_and_stay(store: ObjectStore, bare: Workspace, inbox: BucketInbox) -> None:
    files = {f"monday/clips/{n}.wav": bytes([n]) * 100 for n in range(20)}
    _drop(store, inbox, {**files, "monday/": b"", "tuesday.zip": b"2", ".hidden": b"3", "x.part": b"4"})
    intake = Intake()
    done = intake.run(bare)
    assert intake.seen == ["monday", "tuesday.zip"]
    assert next(iter(intake.kept.values())) == {f"clips/{n}.wav": bytes([n]) * 100 for n in range(20)}
    assert [(one.files, one.size) for one in done.taken] == [(20, 2000), (1, 1)]
    assert intake.run(bare).taken == []
    present = store.objects(inbox.bucket.name, f"{inbox.prefix}monday/")
    assert len(present) == 21
    assert {one.name: one.version for one in inbox.taken(9)} == {
        "monday": "data/plant-a/asr/v1",
        "tuesday.zip": "data/plant-a/asr/v2",
    }
    # nothing of it is left on this machine
    assert list((bare.state / "inbox").glob("fetched/*")) == []
    # the same name with another content is another delivery
    _drop(store, inbox, {"tuesday.zip": b"new"})
    assert [one.name for one in intake.run(bare).taken] == ["tuesday.zip"]
    assert inbox_slots(bare) == [SLOT]


def test_a_marker_or_digests_make_it_complete(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox, clock: Clock
) -> None:
    sums = f"{hashlib.sha256(b'1').hexdigest()}  a.wav\n".encode()
    _drop(store, inbox, {"monday/a.wav": b"1", "monday.done": b"", "tuesday/a.wav": b"1", "tuesday/SHA256SUMS": sums})
    before = clock.now
    assert [one.name for one in Intake().run(bare).taken] == ["monday", "tuesday"]
    assert clock.now == before


def test_one_that_grows_between_two_looks_is_left(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    monkeypatch.setattr(take_deliveries.time, "sleep", lambda _: _drop(store, inbox, {"monday/b.wav": b"2"}))
    assert "not been the same" in Intake().run(bare).left["monday"]


def test_a_refused_one_stays_until_it_changes_or_is_tried_again(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox
) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    intake = Intake(refuse={"monday": IntakeError("no audio in it")})
    assert [one.reason for one in intake.run(bare).refused] == ["no audio in it"]
    assert inbox.claims() == []
    assert intake.run(bare).left == {"monday": "it was refused before and has not changed"}
    assert len(intake.reported) == 1
    assert [(row.state, row.detail) for row in inbox_rows(bare)] == [("refused", "no audio in it")]
    assert retry_refused(bare, SLOT) == ["monday"]
    intake.refuse.clear()
    assert [one.name for one in intake.run(bare).taken] == ["monday"]


@pytest.mark.parametrize("key", ["monday/../../etc/passwd", "monday//a.wav", f"monday/{'x' * 300}", "monday/a\0"])
def test_a_key_that_no_file_can_have_is_refused(key: str) -> None:
    # this store refuses such keys itself, others have them
    listed = {"Key": f"in/{key}", "Size": 1, "ETag": '"e"', "LastModified": datetime.now(UTC)}
    bucket = SimpleNamespace(objects=lambda prefix: [listed])
    (entry,) = BucketInbox(bucket, "in/").entries()
    assert "a name that no file can have" in entry.fault


@pytest.mark.parametrize(
    ("keys", "which"),
    [
        (["monday", "monday/a.wav"], "it"),
        (["monday/x", "monday/x/y.wav"], "x"),
        (["monday/d/x", "monday/d/x/e/y.wav", "monday/d/x.wav"], "d/x"),
        (["monday/x", "monday/x.wav", "monday/xy/x"], ""),
    ],
)
def test_an_object_and_a_folder_of_one_name_are_refused_and_stop_no_delivery(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, keys: list[str], which: str
) -> None:
    # a store may have both, a disk has not
    bucket = MemoryBucket({f"in/{key}": b"1" for key in [*keys, "tuesday"]})
    monkeypatch.setattr(slot_inbox, "open_bucket", lambda address, endpoint: BucketInbox(bucket, "in/"))
    done = Intake().run(bare_workspace(tmp_path, path="s3://memory/in"))
    assert [one.reason for one in done.refused] == (
        [f"{which} is an object and a folder of the same name"] if which else []
    )
    assert [one.name for one in done.taken] == (["tuesday"] if which else ["monday", "tuesday"])


@pytest.mark.parametrize("name", [" with blanks ", "会議 1.zip", "a\nb.zip", "a\u2028b.zip", "50%25+x.zip"])
def test_odd_keys_are_taken_once_and_shown_on_one_line(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox, clock: Clock, name: str
) -> None:
    _drop(store, inbox, {name: b"1"})
    intake = Intake(refuse={name: IntakeError("no")})
    intake.run(bare)
    clock.now += 11
    intake.run(bare)
    (refused,) = intake.reported
    assert refused.name == name
    (shown,) = retry_refused(bare, SLOT)
    assert shown.isprintable()
    intake.refuse.clear()
    clock.now += 11
    assert [one.name for one in intake.run(bare).taken] == [name]
    assert intake.run(bare).taken == []


def test_a_delivery_of_more_objects_than_one_page_of_a_listing(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the usual page has 1,000 objects
    asked: list[bool] = []

    def ask_for_thirty(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 30
        asked.append("ContinuationToken" in params)

    def open_with_short_pages(*given: Any, **named: Any) -> Any:
        client = open_s3(*given, **named)
        client.meta.events.register("before-parameter-build.s3.ListObjectsV2", ask_for_thirty)
        return client

    monkeypatch.setattr("pipelines.inbox.bucket_client.open_s3", open_with_short_pages)
    files = {f"{number:04d}.wav": b"%d" % number for number in range(70)}
    _drop(store, inbox, {**{f"monday/{name}": content for name, content in files.items()}, "monday.done": b""})
    intake = Intake()
    (taken,) = intake.run(bare).taken
    assert (taken.files, list(intake.kept.values())) == (70, [files])
    assert asked.count(True) >= 2
    assert intake.run(bare).taken == []


def test_of_many_at_once_one_claims(store: ObjectStore, inbox: BucketInbox) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    (entry,) = inbox.entries()
    got: list[Claim | None] = []
    threads = [threading.Thread(target=lambda n=n: got.append(inbox.claim(entry, f"owner-{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in got) == 1
    # and of many that take over a dead claim, one
    (dead,) = inbox.claims()
    got.clear()
    threads = [threading.Thread(target=lambda n=n: got.append(inbox.take_over(dead, f"owner-{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (own,) = (claim for claim in got if claim)
    assert inbox.holds(own)
    assert not inbox.holds(dead)


def test_the_claim_of_a_dead_machine_is_taken_over_after_its_lease_by_the_clock_of_the_store(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    assert inbox.claim(inbox.entries()[0], "another machine")
    intake = Intake()
    assert "is being taken in by" in intake.run(bare).left["monday"]
    # the wall clock of this machine has no part in it
    monkeypatch.setattr(take_deliveries.time, "time", lambda: 10.0**10)
    assert intake.run(bare).taken == []
    monkeypatch.setattr(take_deliveries, "LEASE_SECONDS", -1.0)
    assert [one.name for one in intake.run(bare).taken] == ["monday"]
    assert inbox.claims() == []
    assert LEASE_SECONDS > 60


def test_a_claim_of_this_machine_is_finished_at_once(store: ObjectStore, bare: Workspace, inbox: BucketInbox) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    assert inbox.claim(inbox.entries()[0], owner_id(bare))
    assert [row.state for row in inbox_rows(bare)] == ["claimed"]
    assert [one.name for one in Intake().run(bare).taken] == ["monday"]


def test_a_claim_whose_delivery_has_changed_since_ends_with_it(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox
) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    assert inbox.claim(inbox.entries()[0], owner_id(bare))
    _drop(store, inbox, {"monday/a.wav": b"22"})
    intake = Intake()
    intake.run(bare)
    assert inbox.claims() == []
    intake.run(bare)
    assert (intake.seen, list(intake.kept.values())) == (["monday"], [{"a.wav": b"22"}])


def test_an_object_that_is_replaced_while_it_is_read_is_taken_in_as_it_is_then(
    store: ObjectStore, bare: Workspace, inbox: BucketInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    fetched = BucketInbox.fetched

    @contextlib.contextmanager
    def replaced(self: BucketInbox, claim: Claim, entry: Entry, scratch: Path) -> Iterator[Path]:
        _drop(store, inbox, {"monday/a.wav": b"22"})
        with fetched(self, claim, entry, scratch) as path:
            yield path

    monkeypatch.setattr(BucketInbox, "fetched", replaced)
    intake = Intake()
    assert intake.run(bare).left == {"monday": "it changed while it was read"}
    monkeypatch.setattr(BucketInbox, "fetched", fetched)
    intake.run(bare)
    assert list(intake.kept.values()) == [{"a.wav": b"22"}]


class _Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ProtocolError("Connection broken")


def test_an_answer_that_breaks_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"Key": ".taken/x.json", "Size": 9, "ETag": "x", "LastModified": datetime.now(UTC)}
    client = SimpleNamespace(
        get_object=lambda **_: {"Body": StreamingBody(_Broken(), 9)},
        get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [{"Contents": [listed]}]),
    )
    monkeypatch.setattr(bucket_client, "open_s3", lambda *_, **__: client)
    inbox = BucketInbox(Bucket("deliveries"), "")
    sums = Entry("monday", (ListedFile("SHA256SUMS", 9, "x"),))
    reads: list[Callable[[], object]] = [
        lambda: fetch_object(inbox.bucket, "monday", tmp_path / "monday", "x"),
        lambda: check_digests(sums, "SHA256SUMS", functools.partial(inbox.open_file, "monday")),
        lambda: list(inbox.taken(9)),
    ]
    for read in reads:
        with pytest.raises(RemoteAway, match="the inbox s3://deliveries cannot be read"):
            read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "stranger"}, "InvalidAccessKeyId.*AWS_ACCESS_KEY_ID"),
        (
            {"AWS_ACCESS_KEY_ID": READER.access, "AWS_SECRET_ACCESS_KEY": READER.secret},
            "rights to list, read and write",
        ),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "AWS_ENDPOINT_URL_S3"),
    ],
)
def test_a_store_that_refuses_or_is_away_is_an_error_that_names_the_variable(
    store: ObjectStore,
    bare: Workspace,
    inbox: BucketInbox,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    message: str,
) -> None:
    _drop(store, inbox, {"monday/a.wav": b"1"})
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OpsError, match=message):
        Intake().run(bare)


def test_a_bucket_that_is_not_there_is_named(bare: Workspace) -> None:
    inbox = replace(bare.settings.inbox, path="s3://not-there-at-all")
    missing = Workspace(bare.root, replace(bare.settings, inbox=inbox))
    with pytest.raises(WorkspaceError, match="s3://not-there-at-all does not exist"):
        Intake().run(missing)


WORKER = """
    import sys
    from pathlib import Path
    from pipelines.inbox import take_deliveries
    from tests.support.inboxes import SLOT, bare_workspace, tree

    root, address, ledger = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    take_deliveries.LEASE_SECONDS = 2.0
    workspace = bare_workspace(root, path=address, stable=0.0)

    def ingest(path):
        with open(ledger, "ab", buffering=0) as file:
            file.write(f"{path.name} {sorted(tree(path).items())!r}\\n".encode())
        return "data/plant-a/asr/v1"

    while True:
        take_deliveries.take_waiting(workspace, SLOT, ingest, lambda refusal: None)
"""


@pytest.mark.slow
def test_two_workers_that_are_killed_on_one_prefix(
    store: ObjectStore, tmp_path: Path, address: str, inbox: BucketInbox
) -> None:
    names = [f"d{n:02}" for n in range(12)]
    _drop(store, inbox, {f"{name}/{n}.wav": f"{name} {n}".encode() for name in names for n in range(3)})
    ledger = tmp_path / "ledger"

    def start(n: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-c", textwrap.dedent(WORKER), tmp_path / f"state-{n}", address, ledger]
        return subprocess.Popen([*map(str, command)], env=environment)

    workers, ends, kills = {n: start(n) for n in range(2)}, time.monotonic() + 200, 3
    try:
        while time.monotonic() < ends and len(list(inbox.taken(99))) < len(names):
            done = len(ledger.read_text().splitlines()) if ledger.exists() else 0
            if kills and done >= 3 * (4 - kills):
                n = kills % 2
                workers[n].kill()
                workers[n].wait()
                kills -= 1
                workers[n] = start(n)
            time.sleep(0.02)
    finally:
        for one in workers.values():
            one.kill()
            one.wait()
    assert sorted(one.name for one in inbox.taken(99)) == names
    assert inbox.entries() == []
    want = {f"{name} {sorted((f'{n}.wav', f'{name} {n}'.encode()) for n in range(3))!r}" for name in names}
    assert set(ledger.read_text().splitlines()) == want
