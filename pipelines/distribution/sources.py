"""Where a box reads from: an MLflow server over HTTP, or a folder on a medium. Both have the same paths.

``metadata/<name>.json`` and ``targets/<path>``. A missing path raises TUF's DownloadHTTPError with 404 in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from elp_core.types import Seconds
from pipelines.distribution.tuf_refusals import refusals
from pipelines.errors import DeliveryRefused, ServiceError, UsageError
from pipelines.local.box_home import NOT_KNOWN, origin_of
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account
from pipelines.registry.client.server_api import API
from pipelines.registry.delivery.delivery_metadata import FRESH_MEDIA, FRESH_ONLINE, ROOT, metadata_file
from pipelines.registry.signing.canonical_json import sha256

if TYPE_CHECKING:
    import requests

_CHUNK = 256 * 1024
_LARGEST_ROOT = 512_000
"""Bytes, as python-tuf has it."""
_SECONDS: Seconds = 60.0
"""Without a byte for so long, a connection is given up."""


@dataclass(frozen=True)
class ByteStream:
    """Bytes of a file from `start` on; `start` is 0 if the source does not continue where it was asked to."""

    start: int
    chunks: Iterator[bytes]


class Source(Protocol):
    """A place to read a site's delivery from."""

    @property
    def shown(self) -> str:
        """The source for people."""

    @property
    def fresh(self) -> timedelta:
        """How old its timestamp may be."""

    def read(self, path: str, start: int = 0) -> ByteStream:
        """Open a path from a byte on; DownloadHTTPError if it is not there, ServiceError if nothing answers."""


@dataclass(frozen=True)
class FolderSource:
    """The folder of one site on a medium, as `elp export` writes it."""

    folder: Path

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def fresh(self) -> timedelta:
        """Media travel."""
        return FRESH_MEDIA

    def read(self, path: str, start: int = 0) -> ByteStream:
        """Open a file from a byte on."""
        from tuf.api.exceptions import DownloadHTTPError

        if not self.folder.is_dir():
            raise ServiceError(f"there is no folder {self.folder}; is the medium there? Write it with: elp export")
        place = self.folder / path
        if not place.is_file():
            raise DownloadHTTPError(f"{place} is missing", 404)
        return ByteStream(start, self._chunks(place, start))

    @staticmethod
    def _chunks(place: Path, start: int) -> Iterator[bytes]:
        try:
            with place.open("rb") as file:
                file.seek(start)
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise ServiceError(f"{place} cannot be read: {error.strerror}; is the medium still there?") from error


@dataclass(frozen=True)
class HttpSource:
    """An MLflow server of this project."""

    uri: str
    token: str = ""
    """Of an enrolled box."""
    account: Account | None = None
    token_for: str = ""
    """Address that the token of the box is for, if it is not this one."""

    @property
    def shown(self) -> str:
        """The address."""
        return self.uri

    @property
    def fresh(self) -> timedelta:
        """A server signs whenever it is asked."""
        return FRESH_ONLINE

    def read(self, path: str, start: int = 0) -> ByteStream:
        """Request a path from a byte on."""
        from tuf.api.exceptions import DownloadHTTPError

        answer = self._get(path, start)
        if answer.status_code == 416:
            # the file is shorter than what is here already: from the beginning
            answer.close()
            start, answer = 0, self._get(path, 0)
        if answer.status_code >= 400:
            said = _sentence(answer)
            answer.close()
            if answer.status_code == 401:
                raise self._without_login()
            raise DownloadHTTPError(f"{self.uri} answered {answer.status_code} for {path}{said}", answer.status_code)
        begins = start if answer.status_code == 206 and _begins_at(answer, start) else 0
        return ByteStream(begins, self._chunks(answer))

    def _get(self, path: str, start: int) -> requests.Response:
        import requests

        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        auth: Any = (self.account.name, self.account.password) if self.account else None
        address = f"{self.uri}{API}/delivery/{quote(path)}"
        try:
            with requests.Session() as session:
                # a proxy cannot reach a server on this machine
                session.trust_env = urlsplit(self.uri).hostname not in LOCAL_HOSTS
                auth = self._bearer if self.token else auth
                return session.get(address, headers=headers, auth=auth, timeout=_SECONDS, stream=True)
        except requests.exceptions.RequestException as error:
            raise self._away(error) from error

    def _bearer(self, sent: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token; as a header of the request, an entry of .netrc would replace it."""
        sent.headers["Authorization"] = f"Bearer {self.token}"
        return sent

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        import requests

        try:
            with answer:
                yield from answer.iter_content(_CHUNK)
        except requests.exceptions.RequestException as error:
            raise self._away(error) from error

    def _without_login(self) -> ServiceError:
        if self.account and not self.token:
            return ServiceError(f"{self.uri} does not know {self.account.name} with this password ({USERNAME})")
        if self.token_for:
            only = "another address" if self.token_for == NOT_KNOWN else f"{self.token_for} only"
            return ServiceError(
                f"{self.uri} needs a login, and the token of this box is for {only}; invite the box at "
                f"{self.uri}, and then: elp box enrol {self.uri} --token TOKEN"
            )
        return ServiceError(
            f"{self.uri} needs a login of this box: elp box enrol, or {USERNAME} and {PASSWORD} of an auditor, with "
            f"MLFLOW_TRACKING_URI={self.uri}"
        )

    def _away(self, error: Exception) -> ServiceError:
        return ServiceError(
            f"{self.uri} does not answer ({type(error).__name__}); the box keeps its set, and the next pull continues"
        )


def source_of(text: str, site: str, *, token: str = "", account: Account | None = None, token_for: str = "") -> Source:
    """Return the source for an address or a folder; UsageError if it is neither."""
    # an address that cannot be read is refused by it
    if origin_of(text):
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{text!r} is no source; expected the address of the MLflow server, or a folder")
        return HttpSource(text.rstrip("/"), token, account, token_for)
    return FolderSource(Path(text).expanduser().resolve() / site)


def first_root_by_digest(text: str, source: Source) -> bytes:
    """Return the first root of a source if it has this ``sha256:…``, which came from a person."""
    content = read_first_root(source)
    found = f"sha256:{sha256(content)}"
    if found != text:
        raise DeliveryRefused("signature", f"the first root of {source.shown} is {found}, not {text[:80]}")
    return content


def read_first_root(source: Source) -> bytes:
    """Return the first root of a source as it comes; DeliveryRefused if it has none."""
    from tuf.api.exceptions import DownloadHTTPError

    content = bytearray()
    with refusals():
        try:
            for chunk in source.read(f"metadata/{metadata_file(ROOT, 1)}").chunks:
                content += chunk
                if len(content) > _LARGEST_ROOT:
                    raise DeliveryRefused("too long", f"the first root of {source.shown} has no end")
        except DownloadHTTPError as error:
            if error.status_code != 404:
                raise
            raise DeliveryRefused(
                "incomplete", f"{source.shown} delivers nothing yet: no root was published there; see: elp root --help"
            ) from error
    return bytes(content)


def _begins_at(answer: requests.Response, start: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _sentence(answer: requests.Response) -> str:
    try:
        values = answer.json()
    except ValueError:
        return ""
    said = values.get("message", "") if isinstance(values, dict) else ""
    return f": {str(said)[:500]}" if said else ""
