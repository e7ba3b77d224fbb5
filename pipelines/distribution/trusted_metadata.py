"""TUF's client workflow for one site: what a source offers is verified from the offline root down, or refused.

python-tuf verifies; this module gives it the source, a clock that is never older than what the box has seen, a bound on
the age of the timestamp, and the errors of this project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.distribution.sources import Source
from pipelines.distribution.tuf_refusals import refusals
from pipelines.errors import DeliveryRefused, StateDamaged
from pipelines.local.box_home import CURRENT
from pipelines.local.verified_metadata import (
    METADATA,
    ROOT_FILE,
    SEEN,
    keep_root,
    newest_root,
    note_timestamp,
    seen_timestamp,
)
from pipelines.registry.delivery.delivery_metadata import TARGETS, TIMESTAMP

if TYPE_CHECKING:
    from tuf.api.metadata import Root, TargetFile
    from tuf.ngclient import FetcherInterface, Updater


@dataclass(frozen=True)
class TrustedTarget:
    """A file by its verified size and hash."""

    path: str
    length: int
    sha256: str

    @property
    def place(self) -> str:
        """Return its path at the source: the hash is part of the name."""
        folder, _, name = self.path.rpartition("/")
        return f"{TARGETS}/{folder}/{self.sha256}.{name}"


@dataclass(frozen=True)
class TrustedMetadata:
    """The verified metadata of a moment."""

    updater: Updater
    root: Root
    signed_at: datetime
    """When the timestamp was signed."""

    def target(self, path: str) -> TrustedTarget:
        """Return a file of the site; raise DeliveryRefused if the site's role does not name it."""
        with refusals():
            found: TargetFile | None = self.updater.get_targetinfo(path)
        if found is None or set(found.hashes) != {"sha256"}:
            raise DeliveryRefused("incomplete", f"the signed metadata do not name {path}")
        return TrustedTarget(path, found.length, found.hashes["sha256"])


def trusted_metadata(box: Path, source: Source, first_root: bytes | None, now: datetime) -> TrustedMetadata:
    """Refresh the metadata of a box from a source, and remember what was seen.

    `first_root` is what a person gave; as soon as the box has a set, the root that it has verified is followed instead.
    Raises DeliveryRefused if anything is not to be trusted, ServiceError if the source does not answer.
    """
    kept, has_set = newest_root(box), (box / CURRENT).exists()
    # without a set, a root of another server may be here, from a pull that failed
    known = kept if kept is not None and (has_set or first_root is None) else first_root
    if known is None:
        raise DeliveryRefused(
            "no root",
            "this box knows no root yet; give it the first one, from a person and not from the source: --root FILE",
        )
    place = box / METADATA
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob("tmp*"):
        # python-tuf's temporary file, in a process that was killed
        left.unlink()
    updater = _updater(box, source, known, first_root)
    with refusals():
        trusted = updater._trusted_set
        seen, seen_keys = _seen_before(box, trusted.root)
        clock = now.astimezone(UTC)
        if trusted.root.roles[TIMESTAMP].keyids == seen_keys:
            clock = max(clock, datetime.fromtimestamp(seen, UTC))
        # the private name of python-tuf: it has no other way to give it a clock
        trusted.reference_time = clock
        updater.refresh()
    newest, keys = trusted.timestamp.version, trusted.root.roles[TIMESTAMP].keyids
    signed_at = datetime.fromtimestamp(newest, UTC)
    if keys == seen_keys and newest < seen:
        # the metadata of the last pull were lost with the disk, but not this
        raise DeliveryRefused("rollback", f"{source.shown} is from {signed_at:%Y-%m-%d %H:%M}, older than what is here")
    if clock - signed_at > source.fresh:
        raise DeliveryRefused(
            "expired",
            f"{source.shown} was signed at {signed_at:%Y-%m-%d}, more than {source.fresh.days} days ago; the box keeps "
            "its set: write the medium again (elp export), or look at the server and at this machine's clock",
        )
    root = (place / "root_history" / f"{trusted.root.version}.root.json").read_bytes()
    if root != newest_root(box):
        keep_root(box, root)
    if (newest, keys) != (seen, seen_keys):
        note_timestamp(box, newest, keys)
    return TrustedMetadata(updater, trusted.root, signed_at)


def _updater(box: Path, source: Source, known: bytes, first_root: bytes | None) -> Updater:
    """Return python-tuf's client from a root on; `first_root` replaces one that is damaged."""
    from tuf.ngclient import Updater

    def begin(root: bytes) -> Updater:
        with refusals():
            return Updater(str(box / METADATA), "metadata/", fetcher=_fetcher(source), bootstrap=root)

    if known == first_root:
        return begin(known)
    try:
        return begin(known)
    except DeliveryRefused as error:
        if first_root is None:
            raise StateDamaged(
                f"{box / ROOT_FILE} is damaged ({error}); give the first root again, from a person and not from the "
                "source: elp pull --root FILE"
            ) from error
        return begin(first_root)


def _seen_before(box: Path, root: Root) -> tuple[int, list[str]]:
    """Return `seen_timestamp`; if its file is damaged, repair it by the signed timestamp of the last pull."""
    from tuf.api.exceptions import RepositoryError, StorageError
    from tuf.api.metadata import Metadata, Timestamp

    try:
        return seen_timestamp(box)
    except StateDamaged as damaged:
        kept_in = box / METADATA / "timestamp.json"
        try:
            kept = Metadata[Timestamp].from_file(str(kept_in))
            root.verify_delegate(TIMESTAMP, kept.signed_bytes, kept.signatures)
        except (RepositoryError, StorageError):
            raise StateDamaged(
                f"{box / SEEN} is damaged, and {kept_in}, which repairs it, is damaged or missing: if the disk is "
                "sound, delete both and pull again; the box then takes any signed set that has not expired"
            ) from damaged
    note_timestamp(box, kept.signed.version, root.roles[TIMESTAMP].keyids)
    return seen_timestamp(box)


def _fetcher(source: Source) -> FetcherInterface:
    from tuf.ngclient import FetcherInterface

    class _Fetcher(FetcherInterface):
        """Reads metadata from a source; python-tuf bounds the length."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            return source.read(url).chunks

    return _Fetcher()
