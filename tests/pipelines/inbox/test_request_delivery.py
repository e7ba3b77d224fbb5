"""What became of a delivery, as a page shows it: read while the delivery moves, and with few requests."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pipelines.inbox import slot_inbox
from pipelines.inbox.bucket_inbox import BucketInbox
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.inbox.inbox_records import Claim, Taken, record_json
from pipelines.inbox.request_delivery import DeliveryState, delivery_state
from tests.support.inboxes import SLOT, MemoryBucket, drop


def test_a_delivery_that_ends_while_it_is_looked_for_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(tmp_path, "elp.yaml", b"")
    drop(tmp_path / "inbox/plant-a/asr", "request-1", {"a.flac": b"1"})
    assert delivery_state(tmp_path, SLOT, "request-1") == DeliveryState("waiting")
    inbox, claims = FolderInbox(tmp_path / "inbox/plant-a/asr"), FolderInbox.claims
    claim = inbox.claim(inbox.entries()[0], "one")
    assert claim
    assert delivery_state(tmp_path, SLOT, "request-1") == DeliveryState("claimed", claim.host)

    def ended(self: FolderInbox) -> list[Claim]:
        inbox.finish(claim, Taken("request-1", claim.fingerprint, "v1", "", ""))
        return claims(self)

    monkeypatch.setattr(FolderInbox, "claims", ended)
    assert delivery_state(tmp_path, SLOT, "request-1") == DeliveryState("taken", "v1")


def test_a_delivery_that_is_put_back_while_it_is_looked_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, "elp.yaml", b"")
    drop(tmp_path / "inbox/plant-a/asr", "request-1", {"a.flac": b"1"})
    inbox, claims = FolderInbox(tmp_path / "inbox/plant-a/asr"), FolderInbox.claims
    claim = inbox.claim(inbox.entries()[0], "one")
    assert claim

    def put_back(self: FolderInbox) -> list[Claim]:
        inbox.release(claim)
        return claims(self)

    monkeypatch.setattr(FolderInbox, "claims", put_back)
    assert delivery_state(tmp_path, SLOT, "request-1") == DeliveryState("waiting")


def test_records_of_what_was_taken_are_read_until_the_delivery_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    class Counted(MemoryBucket):
        def open(self, key: str, etag: str = "") -> io.BytesIO:
            read.append(key)
            return super().open(key, etag)

    bucket = Counted({"in/request-x": b"1"})
    for number in range(9):
        record = Taken(f"request-{number}", f"{number:032}", "v1", "", "")
        bucket.put(f"in/.taken/{number:032}.json", record_json(record))
    monkeypatch.setattr(slot_inbox, "open_bucket", lambda address, endpoint: BucketInbox(bucket, "in/"))
    drop(tmp_path, "elp.yaml", b"inbox: {path: 's3://memory/in'}")
    assert (delivery_state(tmp_path, SLOT, "request-x"), read) == (DeliveryState("waiting"), [])
    assert (delivery_state(tmp_path, SLOT, "request-2"), len(read)) == (DeliveryState("taken", "v1"), 3)
