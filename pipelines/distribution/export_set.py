"""Write a site's delivery to a medium: the tree of metadata and files that a server answers with, byte for byte.

The timestamp is the server's own for media, which lasts longer, and it is written last: a medium that was pulled out
before then holds what it held, or is refused as incomplete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from elp_core.files import write_whole
from pipelines.distribution.resumed_download import fetch_bytes, fetch_file
from pipelines.distribution.sources import ByteStream, Source, read_first_root
from pipelines.distribution.trusted_metadata import TrustedMetadata, trusted_metadata
from pipelines.locks import file_lock
from pipelines.registry.delivery.delivery_metadata import FRESH_MEDIA, ROOT, TIMESTAMP, metadata_file
from pipelines.registry.delivery.site_set import BUNDLE_FILES, DeliveredAdapter, read_site_set, set_path

_TIMESTAMP = f"metadata/{metadata_file(TIMESTAMP)}"


@dataclass(frozen=True)
class ExportResult:
    """What was written."""

    site: str
    folder: Path
    adapters: tuple[DeliveredAdapter, ...]
    bytes: int
    """Of all files of the set."""
    until: str
    """Until when boxes take it. UTC, ISO 8601."""


@dataclass
class _Recorded:
    """A source whose metadata are kept as they were read, with the timestamp for media in the place of its own."""

    source: Source
    read_so_far: dict[str, bytearray] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The source."""
        return self.source.shown

    @property
    def fresh(self) -> timedelta:
        """As the source."""
        return self.source.fresh

    def read(self, path: str, start: int = 0) -> ByteStream:
        """Read a path, and keep what is read."""
        stream = self.source.read("metadata/media.json" if path == _TIMESTAMP else path, start)
        content = self.read_so_far[path] = bytearray()

        def chunks() -> Iterator[bytes]:
            for chunk in stream.chunks:
                content.extend(chunk)
                yield chunk

        return ByteStream(stream.start, chunks())


def export_set(site: str, source: Source, folder: Path, log: Callable[[str], None] = lambda line: None) -> ExportResult:
    """Write the present set of a site into ``folder/<site>``; files that are there already are not fetched again.

    The server that is asked is this operator's own: its first root is taken as it comes. A box takes nothing of the
    medium that its own root does not allow. Raises DeliveryRefused or ServiceError as a pull does.
    """
    place = folder / site
    place.mkdir(parents=True, exist_ok=True)
    with file_lock(place / ".lock"), tempfile.TemporaryDirectory(prefix="elp-export-") as scratch:
        recorded = _Recorded(source)
        metadata = trusted_metadata(Path(scratch), recorded, read_first_root(recorded), datetime.now(UTC))
        files = [metadata.target(set_path(site))]
        wanted = read_site_set(fetch_bytes(source, files[0]), site)
        files += [metadata.target(path) for adapter in wanted.adapters for path in _paths(adapter)]
        for target in files:
            log(f"writing {target.path}")
            fetch_file(source, target, place / target.place)
        _write_metadata(place, recorded, metadata)
    until = metadata.signed_at + FRESH_MEDIA
    return ExportResult(site, place, wanted.adapters, sum(target.length for target in files), until.isoformat())


def _paths(adapter: DeliveredAdapter) -> list[str]:
    return [adapter.path(name) for name in (*adapter.envelopes, *BUNDLE_FILES)]


def _write_metadata(place: Path, recorded: _Recorded, metadata: TrustedMetadata) -> None:
    """Write what was read and verified, the timestamp last, and remove what it no longer needs."""
    kept = dict(recorded.read_so_far)
    timestamp = kept.pop(_TIMESTAMP)
    # asked for, and not there: the next root
    missing = f"metadata/{metadata_file(ROOT, metadata.root.version + 1)}"
    kept.pop(missing, None)
    for path, content in kept.items():
        write_whole(place / path, bytes(content), durable=True)
    write_whole(place / _TIMESTAMP, bytes(timestamp), durable=True)
