"""TUF metadata as this project uses them: versions, times, names of files, and the keys that the root names.

| role | signed by | says |
|---|---|---|
| root | offline, a threshold | which keys count for everything below, and for lineages, verdicts and the ledger |
| targets | offline, by the same keys | which sites there are, and the key of each |
| site-<site> | the server, a key for each site | the files of the site's `set.json` and its adapters |
| snapshot, timestamp | the server | which versions of these belong together, and until when that is fresh |

The version of the last three is the Unix time in seconds at which they were signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipelines.errors import AttestationError, DeliveryRefused
from pipelines.registry.signing.keys import KeyRing, TrustedKey, read_keys, write_keys

if TYPE_CHECKING:
    from securesystemslib.signer import Signer
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

    S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
STATEMENT_KEYS = "x-elp-statement-keys"
"""Field of the root: the keys for lineages, verdicts and the ledger, as in `trusted.json`."""

FRESH_ONLINE, FRESH_MEDIA = timedelta(days=30), timedelta(days=180)
"""How old a timestamp may be that a box gets from a server, and from a medium."""
LASTING = timedelta(days=365)
"""Of snapshots and sets: their freshness is the timestamp's."""


def metadata_file(role: str, version: int | None = None) -> str:
    """Return the name of a metadata file; a timestamp has no version in it."""
    return f"{role}.json" if version is None else f"{version}.{role}.json"


def expiry(now: datetime, lasting: timedelta) -> datetime:
    """Return the moment `lasting` after now, in whole seconds as TUF writes it."""
    return (now + lasting).astimezone(UTC).replace(microsecond=0)


def read_metadata(raw: bytes, kind: type[S], where: str) -> Metadata[S]:
    """Read metadata of a kind, without verification; raise DeliveryRefused if they are none."""
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        found: Metadata[S] = Metadata.from_bytes(raw)
    except DeserializationError as error:
        raise DeliveryRefused("malformed", f"{where} is no TUF metadata: {error}") from error
    if found.signed.type != kind.type:
        raise DeliveryRefused("malformed", f"{where} is of the role {found.signed.type}, expected {kind.type}")
    return found


def name_statement_keys(root: Root, keys: Iterable[TrustedKey]) -> None:
    """Write the keys for statements into a root."""
    root.unrecognized_fields[STATEMENT_KEYS] = json.loads(write_keys(tuple(keys)))


def statement_keys(root: Root) -> KeyRing:
    """Return the keys for lineages, verdicts and the ledger that a root names; raise DeliveryRefused if it has none."""
    named = root.unrecognized_fields.get(STATEMENT_KEYS)
    try:
        return KeyRing(read_keys(json.dumps(named), "the root"), Path())
    except AttestationError as error:
        raise DeliveryRefused("malformed", f"the root names no keys for statements: {error}") from error


def signed_bytes(signed: S, signers: Iterable[Signer]) -> bytes:
    """Return metadata signed by each of these signers, as the bytes of their file."""
    from tuf.api.metadata import Metadata

    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()
