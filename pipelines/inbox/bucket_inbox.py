"""An inbox that is a prefix of an S3 bucket. S3 has no rename: a claim is an object that only one of two can create.

    NAME, NAME/…, NAME.done               a delivery and its marker; they stay where the sender put them
    .claimed/FINGERPRINT.N.json           the N-th claim of a delivery, created by a conditional put
    .taken/FINGERPRINT.json               a delivery that was taken in: it no longer counts as waiting
    .refused/FINGERPRINT.json             why a delivery was left in place

A machine that takes over the claim of one that is gone creates the next one, so it needs no other condition than "not
present". The age of a claim is the difference of two times of the store: no clock of a machine is compared with it.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from elp_core.types import Seconds
from pipelines.inbox.bucket_client import Bucket, fetch_object
from pipelines.inbox.inbox_entry import (
    MARKER,
    Entry,
    ListedFile,
    is_delivery_name,
    is_file_name,
    is_left_over,
    is_temporary,
    shown_name,
)
from pipelines.inbox.inbox_records import Claim, Refusal, Taken, read_record_json, record_json

_CLAIMED, _TAKEN, _REFUSED = ".claimed/", ".taken/", ".refused/"
_FETCHES = 8
"""Objects that are fetched at once."""


@dataclass(frozen=True)
class _Stored:
    """An object as a listing shows it."""

    key: str
    """Relative to the prefix."""
    size: int
    etag: str
    modified: float
    """Seconds since the epoch, by the store's clock."""


class BucketInbox:
    """The inbox of one slot below a prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix

    def entries(self) -> list[Entry]:
        """Return what may be deliveries, by name; without those that were taken in."""
        waiting: dict[str, list[_Stored]] = {}
        markers, taken = dict[str, float](), set[str]()
        for one in self._listed():
            top = one.key.partition("/")[0]
            if one.key.startswith(_TAKEN):
                taken.add(one.key.removeprefix(_TAKEN).removesuffix(".json"))
            elif top.lower().endswith(MARKER) and top == one.key:
                markers[top] = one.modified
            elif is_delivery_name(top):
                waiting.setdefault(top, []).append(one)
        found = [
            replace(_entry(name, stored), marked=markers.get(name + MARKER)) for name, stored in sorted(waiting.items())
        ]
        return [entry for entry in found if entry.fingerprint not in taken]

    def open_file(self, entry: str, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open an object of an entry."""
        return self.bucket.open(f"{self.prefix}{entry}/{name}")

    def deliver(self, name: str, files: Mapping[str, bytes]) -> None:
        """Put the objects of a delivery below its name; the last one is its list of digests, which completes it."""
        for file, content in files.items():
            self.bucket.put(f"{self.prefix}{name}/{file}", content)

    def address(self, name: str) -> str:
        """Return where an entry is, for people."""
        return f"s3://{self.bucket.name}/{self.prefix}{name}"

    def claim(self, entry: Entry, owner: str) -> Claim | None:
        """Claim an entry for this owner; None if another one was first or it has changed meanwhile."""
        if self._generations(entry.fingerprint):
            return None
        claim = self._put_claim(Claim(entry.name, entry.fingerprint, owner, "", ""), 0)
        if claim is None:
            return None
        found = self.content(claim)
        # another machine may have finished it between the look and the claim
        if found is None or found.fingerprint != entry.fingerprint or self.is_taken(claim):
            self.release(claim)
            return None
        return claim

    def claims(self) -> list[Claim]:
        """Return the newest claim of each claimed delivery, those of killed machines, too."""
        newest: dict[str, int] = {}
        for one in self._listed(_CLAIMED):
            fingerprint, number = _generation(one.key)
            newest[fingerprint] = max(number, newest.get(fingerprint, 0))
        found = []
        for fingerprint, number in sorted(newest.items()):
            place = _claim_key(fingerprint, number)
            if (text := self._read(place)) is not None:
                record = read_record_json(Claim, text) or Claim("", fingerprint, "", "", "")
                found.append(replace(record, fingerprint=fingerprint, place=place))
        return found

    def expired_after(self, claim: Claim) -> Seconds:
        """Return how long ago a claim was renewed, by the clock of the store."""
        head = self.bucket.head(self.prefix + claim.place)
        if head is None:
            return 0.0
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - head["LastModified"]).total_seconds())

    def take_over(self, claim: Claim, owner: str) -> Claim | None:
        """Take the claim of a machine that is gone; None if another one was first."""
        return self._put_claim(replace(claim, owner=owner), _generation(claim.place)[1] + 1)

    def renew(self, claim: Claim) -> None:
        """Say that the owner of a claim is at work."""
        self.bucket.put(self.prefix + claim.place, record_json(claim))

    def holds(self, claim: Claim) -> bool:
        """Return whether nobody took the claim over."""
        # by its place: the fingerprint is another one if the delivery has changed since it was claimed
        fingerprint, own = _generation(claim.place)
        return max(self._generations(fingerprint), default=-1) == own

    def content(self, claim: Claim) -> Entry | None:
        """Return what was claimed, as it is now; None if nothing is there."""
        name = claim.name
        stored = [one for one in self._listed(name) if one.key == name or one.key.startswith(f"{name}/")]
        return _entry(name, stored) if stored and name else None

    def is_taken(self, claim: Claim) -> bool:
        """Return whether the claimed delivery was taken in."""
        return self.bucket.head(f"{self.prefix}{_TAKEN}{claim.fingerprint}.json") is not None

    @contextlib.contextmanager
    def fetched(self, claim: Claim, entry: Entry, scratch: Path) -> Iterator[Path]:
        """Fetch a claimed delivery, which has no fault, into the folder `scratch`, and give its path there."""
        target = scratch / claim.name

        def fetch(one: ListedFile) -> None:
            key = f"{claim.name}/{one.name}" if one.name else claim.name
            # of the version that was listed: an object that was replaced meanwhile is an error
            fetch_object(self.bucket, self.prefix + key, target / one.name if one.name else target, one.stamp)

        self.bucket.require_space(scratch, entry.size)
        with ThreadPoolExecutor(_FETCHES) as pool:
            list(pool.map(fetch, entry.files))
        yield target

    def finish(self, claim: Claim, taken: Taken | None) -> None:
        """Record that a claimed delivery was taken in, and end its claim; None: the record is there already."""
        if taken:
            self.bucket.put_new(f"{self.prefix}{_TAKEN}{claim.fingerprint}.json", record_json(taken))
        self.release(claim)

    def release(self, claim: Claim) -> str:
        """End the claim of a delivery, which stayed where it is; return its name."""
        fingerprint, own = _generation(claim.place)
        for number in self._generations(fingerprint):
            # a newer one belongs to a machine that has taken it over
            if number <= own:
                self.bucket.delete(self.prefix + _claim_key(fingerprint, number))
        return claim.name

    def refusals(self) -> list[Refusal]:
        """Return the refused deliveries, also those that have changed or are gone."""
        return list(self._records(Refusal, (one.key for one in self._listed(_REFUSED))))

    def refuse(self, refusal: Refusal) -> None:
        """Keep why a delivery was refused."""
        self.bucket.put(f"{self.prefix}{_REFUSED}{refusal.fingerprint}.json", record_json(refusal))

    def forget(self, refusal: Refusal) -> None:
        """Remove a refusal, so that the delivery is tried again."""
        self.bucket.delete(f"{self.prefix}{_REFUSED}{refusal.fingerprint}.json")

    def taken(self, limit: int) -> Iterator[Taken]:
        """Yield the newest deliveries that were taken in, the newest first."""
        newest = sorted(self._listed(_TAKEN), key=lambda one: one.modified, reverse=True)[:limit]
        yield from self._records(Taken, (one.key for one in newest))

    def _listed(self, below: str = "") -> Iterator[_Stored]:
        for one in self.bucket.objects(self.prefix + below):
            key, etag = one["Key"].removeprefix(self.prefix), str(one["ETag"]).strip('"')
            # an empty object whose name ends in a slash stands for a folder
            if key and not key.endswith("/"):
                yield _Stored(key, int(one["Size"]), etag, one["LastModified"].timestamp())

    def _put_claim(self, claim: Claim, number: int) -> Claim | None:
        host, at = socket.gethostname(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        made = replace(claim, host=host, at=at, place=_claim_key(claim.fingerprint, number))
        return made if self.bucket.put_new(self.prefix + made.place, record_json(made)) else None

    def _generations(self, fingerprint: str) -> list[int]:
        return sorted(_generation(one.key)[1] for one in self._listed(f"{_CLAIMED}{fingerprint}."))

    def _records(self, kind: type[Any], keys: Iterable[str]) -> Iterator[Any]:
        for key in keys:
            if (text := self._read(key)) and (found := read_record_json(kind, text)):
                yield found

    def _read(self, key: str) -> bytes | None:
        """Return the bytes of a record; None if it was removed meanwhile."""
        try:
            with self.bucket.open(self.prefix + key) as body:
                return body.read()
        except FileNotFoundError:
            return None


def open_bucket(address: str, endpoint: str) -> BucketInbox:
    """Return the inbox at ``s3://BUCKET/PREFIX``; `endpoint` is empty for that of the environment or of AWS."""
    name, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    return BucketInbox(Bucket(name, endpoint), f"{prefix}/" if prefix else "")


def bucket_slots(address: str, endpoint: str) -> list[tuple[str, str]]:
    """Return the site and the task of each prefix ``SITE/TASK/`` below a common inbox."""
    inbox = open_bucket(address, endpoint)
    sites = inbox.bucket.prefixes(inbox.prefix)
    return [(site, task) for site in sites for task in inbox.bucket.prefixes(f"{inbox.prefix}{site}/")]


def _entry(name: str, stored: Iterable[_Stored]) -> Entry:
    files: list[ListedFile] = []
    unfinished, fault = "", ""
    for one in stored:
        inner = one.key.removeprefix(name).removeprefix("/")
        parts = inner.split("/") if inner else []
        if parts and is_left_over(parts[-1]):
            continue
        if parts and is_temporary(parts[-1]):
            unfinished = f"{inner} is still being written"
        if not all(is_file_name(part) for part in (name, *parts)):
            fault = f"the object {one.key[:80]!r} has a name that no file can have"
        files.append(ListedFile(inner, one.size, one.etag, one.modified))
    folders = {folder for one in files if one.name for folder in _folders(one.name)}
    if both := sorted(folders & {one.name for one in files}):
        fault = f"{shown_name(both[0]) or 'it'} is an object and a folder of the same name"
    return Entry(name, tuple(sorted(files, key=lambda one: one.name)), unfinished, fault)


def _folders(name: str) -> Iterator[str]:
    """Return the folders that a file is in, from the delivery itself, whose name is empty."""
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(len(parts)))


def _claim_key(fingerprint: str, number: int) -> str:
    return f"{_CLAIMED}{fingerprint}.{number}.json"


def _generation(key: str) -> tuple[str, int]:
    """Return the fingerprint and the number of a claim's key; the number of an unknown name is 0."""
    fingerprint, _, number = key.removeprefix(_CLAIMED).removesuffix(".json").partition(".")
    return fingerprint, int(number) if number.isdecimal() else 0
