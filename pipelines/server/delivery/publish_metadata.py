"""Publish a site's set: sign metadata when a box asks for them and something has changed, never on a schedule.

<state>/delivery/metadata/     what boxes read, by the names that TUF gives; `media.json` is the timestamp for media

Every version is the Unix time in seconds of its signature, or one more than the version before if the clock was set
back. The files themselves are the state: after a kill at any moment the next request continues with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.files import write_whole
from pipelines.errors import AttestationError
from pipelines.locks import file_lock
from pipelines.registry.delivery.delivery_keys import online_key_path, role_of, signer_of
from pipelines.registry.delivery.delivery_metadata import (
    FRESH_MEDIA,
    FRESH_ONLINE,
    LASTING,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    expiry,
    metadata_file,
    read_metadata,
    signed_bytes,
)
from pipelines.registry.delivery.published_root import METADATA
from pipelines.registry.delivery.root_ceremony import newest_metadata, sites_of
from pipelines.registry.delivery.site_set import SiteSet, set_path
from pipelines.registry.signing.canonical_json import sha256

if TYPE_CHECKING:
    from tuf.api.metadata import Snapshot, TargetFile

    from pipelines.registry.delivery.delivery_metadata import S

MEDIA = "media"
"""The file of the timestamp that `elp export` takes: it lasts longer."""
_RENEWED = timedelta(hours=1)
"""After this time a timestamp is signed again: a box sees when the server was last alive."""
_KEPT = 8
"""Versions of a role that stay: a box may be between two of its requests."""


@dataclass(frozen=True)
class PublishedSet:
    """A site's set with the size and SHA-256 (hex) of each of its files by target path, `set.json` left out."""

    site_set: SiteSet
    files: Mapping[str, tuple[int, str]]


ReadSets = Callable[[Sequence[str]], Mapping[str, PublishedSet]]
"""Returns the sets of these sites; a site that is left out keeps what was published before."""


def publish_metadata(folder: Path, keys: Path, read_sets: ReadSets, now: datetime, *, changed: bool) -> None:
    """Make the metadata in `folder` those of this moment, signed by the server's keys in the key folder `keys`.

    `read_sets` is called if `changed` is set, or if the root, the list of sites or a date asks for new metadata. Raises
    DeliveryRefused if there is no root.
    """
    place = folder / METADATA
    listed = newest_metadata(place, TARGETS)
    with file_lock(folder / "publish.lock"):
        present = _present(place)
        number = int(listed.name.partition(".")[0])
        due = present is None or present.expires - now.astimezone(UTC) < LASTING / 2
        if present is None or changed or due or present.meta[metadata_file(TARGETS)].version != number:
            from tuf.api.metadata import Targets

            sites = sites_of(read_metadata(listed.read_bytes(), Targets, str(listed)).signed)
            versions = _publish_sites(place, keys, sites, read_sets(sites), now, again=due)
            present = _publish_snapshot(place, keys, {TARGETS: number, **versions}, present, now, again=due)
        _publish_timestamps(place, keys, present, now)


def _publish_sites(
    place: Path, keys: Path, sites: Sequence[str], sets: Mapping[str, PublishedSet], now: datetime, *, again: bool
) -> dict[str, int]:
    """Sign the set of each site that changed; return the newest version of each role that has one."""
    from tuf.api.metadata import Targets

    found: dict[str, int] = {}
    for site in sites:
        role, newest = role_of(site), _newest(place, role_of(site))
        wanted = _target_files(sets[site]) if site in sets else None
        if newest is not None:
            found[role] = newest
            path = place / metadata_file(role, newest)
            before = read_metadata(path.read_bytes(), Targets, str(path)).signed.targets
            if (wanted is None or before == wanted) and not again:
                continue
            wanted = before if wanted is None else wanted
        if wanted is None:
            continue
        if site in sets:
            # next to the metadata: the content of set.json is nowhere else
            content = sets[site].site_set.content
            write_whole(place / f"{sha256(content)}.{site}.set", content, durable=True)
        version = _next(newest, now)
        _write(place, role, version, Targets(version=version, expires=expiry(now, LASTING), targets=wanted), keys)
        found[role] = version
    return found


def _target_files(published: PublishedSet) -> dict[str, TargetFile]:
    from tuf.api.metadata import TargetFile

    content = published.site_set.content
    files = {set_path(published.site_set.site): (len(content), sha256(content)), **published.files}
    return {path: TargetFile(length, {"sha256": digest}, path) for path, (length, digest) in files.items()}


def _publish_snapshot(
    place: Path, keys: Path, versions: Mapping[str, int], before: Snapshot | None, now: datetime, *, again: bool
) -> Snapshot:
    from tuf.api.metadata import MetaFile, Snapshot

    meta = {metadata_file(role): MetaFile(version) for role, version in versions.items()}
    if before is not None:
        # TUF lets no role disappear: a site that was taken off the list stays named
        meta = {**before.meta, **meta}
        if meta == before.meta and not again:
            return before
    version = _next(_newest(place, SNAPSHOT), now)
    made = Snapshot(version=version, expires=expiry(now, LASTING), meta=meta)
    _write(place, SNAPSHOT, version, made, keys)
    return made


def _publish_timestamps(place: Path, keys: Path, snapshot: Snapshot, now: datetime) -> None:
    from tuf.api.metadata import MetaFile, Timestamp

    for file, lasting in ((metadata_file(MEDIA), FRESH_MEDIA), (metadata_file(TIMESTAMP), FRESH_ONLINE)):
        path, newest = place / file, None
        if path.exists():
            before = read_metadata(path.read_bytes(), Timestamp, str(path)).signed
            newest = before.version
            age = now.timestamp() - newest
            if before.snapshot_meta.version == snapshot.version and age < _RENEWED.total_seconds():
                continue
        version = _next(newest, now)
        made = Timestamp(version=version, expires=expiry(now, lasting), snapshot_meta=MetaFile(snapshot.version))
        signer = signer_of(online_key_path(keys, TIMESTAMP))
        write_whole(path, signed_bytes(made, [signer]), durable=True)


def _present(place: Path) -> Snapshot | None:
    """Return the newest snapshot, or None."""
    from tuf.api.metadata import Snapshot

    newest = _newest(place, SNAPSHOT)
    if newest is None:
        return None
    path = place / metadata_file(SNAPSHOT, newest)
    return read_metadata(path.read_bytes(), Snapshot, str(path)).signed


def _next(newest: int | None, now: datetime) -> int:
    return max(int(now.timestamp()), (newest or 0) + 1)


def _newest(place: Path, role: str) -> int | None:
    versions = _versions(place, role)
    return versions[-1] if versions else None


def _versions(place: Path, role: str) -> list[int]:
    found = [path.name.removesuffix(f".{role}.json") for path in place.glob(f"*.{role}.json")]
    return sorted(int(version) for version in found if version.isdigit())


def _write(place: Path, role: str, version: int, signed: S, keys: Path) -> None:
    path = online_key_path(keys, role)
    if not path.exists():
        raise AttestationError(
            "no key", f"the server has no key for {role}; make it and sign a new root: elp root request"
        )
    write_whole(place / metadata_file(role, version), signed_bytes(signed, [signer_of(path)]), durable=True)
    for old in _versions(place, role)[:-_KEPT]:
        (place / metadata_file(role, old)).unlink()


def read_published(folder: Path, name: str) -> bytes | None:
    """Return a metadata file by its name; None if there is none. `name` may be anything that a client sends."""
    if not all(letter.isalnum() or letter in "-." for letter in name) or not name.endswith(".json"):
        return None
    path = folder / METADATA / name
    return path.read_bytes() if path.is_file() else None
