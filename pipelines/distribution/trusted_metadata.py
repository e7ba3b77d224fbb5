"""TUF's client workflow for one site: what a source offers is verified from the offline root down, or refused.

python-tuf verifies; this module gives it the source, a clock that is never older than what the box has seen, a bound on
the age of the timestamp, and the errors of this project.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.files import write_whole
from pipelines.distribution.sources import Source
from pipelines.errors import DeliveryRefused, ServiceError
from pipelines.registry.delivery.delivery_metadata import TARGETS, TIMESTAMP
from pipelines.registry.delivery.site_set import SET

if TYPE_CHECKING:
    from tuf.api.metadata import Root, TargetFile
    from tuf.ngclient import FetcherInterface, Updater

_ROOT = Path("trust") / "root.json"
_SEEN = "seen.json"


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

    `first_root` is what a person gave; a root that the box has verified already is followed instead. Raises
    DeliveryRefused if anything is not to be trusted, ServiceError if the source does not answer.
    """
    known = _read(box / _ROOT) or first_root
    if known is None:
        raise DeliveryRefused(
            "no root",
            "this box knows no root yet; give it the first one, from a person and not from the source: --root FILE",
        )
    from tuf.ngclient import Updater

    place = box / "tuf"
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob("tmp*"):
        # python-tuf's temporary file, in a process that was killed
        left.unlink()
    with refusals():
        updater = Updater(str(place), "metadata/", fetcher=_fetcher(source), bootstrap=known)
        seen = _Seen.read(box / _SEEN)
        trusted = updater._trusted_set
        clock = now.astimezone(UTC)
        if trusted.root.roles[TIMESTAMP].keyids == seen.keys:
            clock = max(clock, seen.moment)
        # the private name of python-tuf: it has no other way to give it a clock
        trusted.reference_time = clock
        updater.refresh()
    signed_at = datetime.fromtimestamp(trusted.timestamp.version, UTC)
    keys = trusted.root.roles[TIMESTAMP].keyids
    if keys == seen.keys and signed_at < seen.moment:
        # the metadata of the last pull were lost with the disk, but not this
        raise DeliveryRefused("rollback", f"{source.shown} is from {signed_at:%Y-%m-%d %H:%M}, older than what is here")
    if clock - signed_at > source.fresh:
        raise DeliveryRefused(
            "expired",
            f"{source.shown} was signed at {signed_at:%Y-%m-%d}, more than {source.fresh.days} days ago; the box keeps "
            "its set: write the medium again (elp export), or look at the server and at this machine's clock",
        )
    (box / _ROOT).parent.mkdir(exist_ok=True)
    newest = _read(place / "root_history" / f"{trusted.root.version}.root.json")
    if newest is not None and newest != _read(box / _ROOT):
        write_whole(box / _ROOT, newest, durable=True)
    if (keys, signed_at) != (seen.keys, seen.moment):
        _Seen(int(signed_at.timestamp()), keys).write(box / _SEEN)
    return TrustedMetadata(updater, trusted.root, signed_at)


@dataclass(frozen=True)
class _Seen:
    """The newest timestamp that the box has verified. It counts for the keys that signed it: others begin again."""

    newest: int
    keys: list[str]

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.newest, UTC)

    @classmethod
    def read(cls, path: Path) -> _Seen:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(values["newest"]), [str(key) for key in values["keys"]])
        except FileNotFoundError:
            return cls(0, [])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeliveryRefused(
                "malformed", f"{path} is damaged ({error}); if the disk is sound, delete it and pull again"
            ) from error

    def write(self, path: Path) -> None:
        write_whole(path, json.dumps({"newest": self.newest, "keys": self.keys}) + "\n", durable=True)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn the failures of python-tuf into errors of this project."""
    from tuf.api import exceptions

    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise DeliveryRefused(
            "expired",
            f"the signed metadata have expired ({error}); updates stop here, and the box keeps its set: renew the root "
            "(elp root make), write the medium again (elp export), or look at this machine's clock",
        ) from error
    except exceptions.BadVersionNumberError as error:
        raise DeliveryRefused("rollback", f"the source offers older metadata than the box has: {error}") from error
    except exceptions.UnsignedMetadataError as error:
        raise DeliveryRefused("signature", f"the metadata lack signatures that count: {error}") from error
    except exceptions.LengthOrHashMismatchError as error:
        raise DeliveryRefused("altered", f"the metadata were altered: {error}") from error
    except exceptions.DownloadLengthMismatchError as error:
        raise DeliveryRefused("too long", f"the source sends more than it may: {error}") from error
    except exceptions.DownloadHTTPError as error:
        if error.status_code in (401, 403, 429) or error.status_code >= 500:
            raise ServiceError(f"{error}; the box keeps its set") from error
        raise DeliveryRefused("incomplete", f"{error}; a set without it ({SET}) is not complete") from error
    except exceptions.DownloadError as error:
        raise ServiceError(f"{error.__cause__ or error}; the box keeps its set") from error
    except exceptions.RepositoryError as error:
        raise DeliveryRefused("malformed", f"the metadata cannot be used: {error}") from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _fetcher(source: Source) -> FetcherInterface:
    from tuf.ngclient import FetcherInterface

    class _Fetcher(FetcherInterface):
        """Reads metadata from a source; python-tuf bounds the length."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            return source.read(url).chunks

    return _Fetcher()
