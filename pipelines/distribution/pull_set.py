"""Pull a site's set: the box has the new set whole, or goes on with the one before, wherever the pull is killed.

1. The metadata are refreshed and verified from the offline root down.
2. Every statement is fetched and checked, then the fingerprints of the box's backbones, before a large file is.
3. Each bundle is fetched, verified and put in its place by one rename; bundles are named by digest and never change.
4. One rename of `current.json` activates all of them. What neither this set nor the one before names is then removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from elp_core.bundle import verify_bundle
from elp_core.errors import BundleError, ElpError
from elp_core.fail_points import durable_write
from elp_core.files import remove_temporary, write_whole
from pipelines.distribution.resumed_download import fetch_bytes, fetch_file
from pipelines.distribution.sources import Source
from pipelines.distribution.trusted_metadata import TrustedMetadata, trusted_metadata
from pipelines.errors import DeliveryRefused
from pipelines.local.box_home import (
    CURRENT,
    PREVIOUS,
    ActiveSet,
    PullRecord,
    active_set,
    bundle_folder,
    note_pull,
    previous_set,
    statement_file,
)
from pipelines.locks import file_lock
from pipelines.registry.delivery.delivered_statements import check_statements
from pipelines.registry.delivery.delivery_metadata import statement_keys
from pipelines.registry.delivery.site_set import BUNDLE_FILES, DeliveredAdapter, SiteSet, read_site_set, set_path
from pipelines.registry.signing.canonical_json import sha256, utc_now
from pipelines.registry.signing.keys import KeyRing

Fingerprints = Callable[[], Collection[str]]
"""Returns the fingerprints of the backbones that the box serves with; it may load them."""


@dataclass(frozen=True)
class PullResult:
    """What a pull did."""

    site: str
    source: str
    changed: bool
    adapters: tuple[DeliveredAdapter, ...]
    before: tuple[DeliveredAdapter, ...]
    signed_at: str
    """When the source signed its timestamp. UTC, ISO 8601."""


def pull_set(
    box: Path,
    site: str,
    source: Source,
    fingerprints: Fingerprints,
    *,
    first_root: bytes | None = None,
    accept_override: bool = False,
    now: datetime | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> PullResult:
    """Bring a box to the set that a source offers for its site.

    Raises DeliveryRefused if anything is not to be trusted or has expired, ServiceError if the source does not answer
    or breaks off. In both cases the active set is what it was.
    """
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(box / "pull.lock"):
        try:
            result = _pull(box, site, source, fingerprints, first_root, accept_override, now or datetime.now(UTC), log)
        except ElpError as error:
            note_pull(box, PullRecord(utc_now(), getattr(error, "reason", "failed"), str(error)))
            raise
        note_pull(box, PullRecord(utc_now(), "activated" if result.changed else "unchanged"))
        return result


def _pull(
    box: Path,
    site: str,
    source: Source,
    fingerprints: Fingerprints,
    first_root: bytes | None,
    accept_override: bool,
    now: datetime,
    log: Callable[[str], None],
) -> PullResult:
    _clean(box)
    metadata = trusted_metadata(box, source, first_root, now)
    target, present = metadata.target(set_path(site)), active_set(box)
    same = present is not None and present.digest == target.sha256
    content = (box / CURRENT).read_bytes() if same else fetch_bytes(source, target)
    wanted = read_site_set(content, site)
    keys = statement_keys(metadata.root)
    for adapter in wanted.adapters:
        _check_adapter(box, source, metadata, adapter, keys, accept_override)
    whole = all(bundle_folder(box, adapter.bundle).is_dir() for adapter in wanted.adapters)
    if not (same and whole):
        _check_backbones(wanted, fingerprints)
        for adapter in wanted.adapters:
            _ensure_bundle(box, source, metadata, adapter, log)
        if not same:
            _activate(box, content)
        _prune(box)
    before = present.site_set.adapters if present else ()
    return PullResult(site, source.shown, not same, wanted.adapters, before, metadata.signed_at.isoformat())


def _check_adapter(
    box: Path, source: Source, metadata: TrustedMetadata, adapter: DeliveredAdapter, keys: KeyRing, accept: bool
) -> None:
    """Check what was signed about an adapter, also about one that is active: the root may have revoked a key since."""
    envelopes = {}
    for name, digest in adapter.envelopes.items():
        place = statement_file(box, digest)
        if place.is_file() and sha256(place.read_bytes()) == digest:
            envelopes[name] = place.read_bytes()
            continue
        target = metadata.target(adapter.path(name))
        if target.sha256 != digest:
            raise DeliveryRefused("altered", f"{adapter.name}: {name} is another one than the set names")
        envelopes[name] = fetch_bytes(source, target)
        write_whole(place, envelopes[name], durable=True)
    check_statements(adapter, envelopes, keys, accept_override=accept)


def _check_backbones(wanted: SiteSet, fingerprints: Fingerprints) -> None:
    if not wanted.adapters:
        return
    own = fingerprints()
    for adapter in wanted.adapters:
        if adapter.fingerprint not in own:
            raise DeliveryRefused(
                "backbone",
                f"{adapter.name} belongs to the backbone {adapter.backbone} ({adapter.fingerprint}), this box "
                f"has {', '.join(sorted(own))}; give it that backbone first and name all that it needs: elp pull "
                f"{wanted.site} --backbone ID|FOLDER",
            )


def _ensure_bundle(
    box: Path, source: Source, metadata: TrustedMetadata, adapter: DeliveredAdapter, log: Callable[[str], None]
) -> None:
    """Have the verified bundle of an adapter in its place."""
    place = bundle_folder(box, adapter.bundle)
    if place.is_dir():
        return
    log(f"fetching {adapter.name}")
    files = {name: metadata.target(adapter.path(name)) for name in BUNDLE_FILES}
    fetched = {name: box / "downloads" / target.sha256 for name, target in files.items()}
    for name, target in files.items():
        fetch_file(source, target, fetched[name])
    place.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=place.parent) as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        for name, path in fetched.items():
            _link(path, folder / name)
        _verify(adapter, folder)
        _sync(folder)
        with durable_write("delivered bundle"):
            os.replace(folder, place)
        _sync(place.parent)
    for path in fetched.values():
        path.unlink(missing_ok=True)


def _verify(adapter: DeliveredAdapter, folder: Path) -> None:
    try:
        manifest = verify_bundle(folder)
    except BundleError as error:
        raise DeliveryRefused("altered", f"{adapter.name}: {error}") from error
    if (manifest.digest, manifest.fingerprint) != (adapter.bundle, adapter.fingerprint):
        raise DeliveryRefused(
            "altered", f"{adapter.name}: the bundle is {manifest.digest} on {manifest.fingerprint}, not what was signed"
        )


def _activate(box: Path, content: bytes) -> None:
    """Put a set in force. All that it names is on the disk."""
    current = box / CURRENT
    if current.exists():
        write_whole(box / PREVIOUS, current.read_bytes(), durable=True)
    write_whole(current, content, durable=True)


def roll_back_set(box: Path) -> ActiveSet:
    """Put the set before in force again; the next pull brings the newest one. Raises DeliveryRefused without one."""
    with file_lock(box / "pull.lock"):
        before = previous_set(box)
        if before is None:
            raise DeliveryRefused("incomplete", f"{box} has no set before the active one")
        before.verify()
        _activate(box, before.site_set.content)
        return before


def _prune(box: Path) -> None:
    """Remove what neither the active set nor the one before names."""
    sets = [found.site_set for found in (active_set(box), previous_set(box)) if found]
    adapters = [adapter for one in sets for adapter in one.adapters]
    kept = {bundle_folder(box, adapter.bundle) for adapter in adapters}
    kept |= {statement_file(box, digest) for adapter in adapters for digest in adapter.envelopes.values()}
    for folder in (box / "bundles", box / "statements", box / "downloads"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path in kept:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _clean(box: Path) -> None:
    """Remove the temporary files of a pull that was killed; the lock says that no other one runs."""
    for folder in (box, box / "statements", box / "trust"):
        if folder.is_dir():
            remove_temporary(folder)
    for left in (box / "bundles").glob(".new-*"):
        shutil.rmtree(left)


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:
        # a file system without links
        shutil.copy2(path, place)
        with place.open("rb") as file:
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
