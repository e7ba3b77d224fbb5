"""Pull a site's set: the box has the new set whole, or goes on with the one before, wherever the pull is killed.

1. The metadata are refreshed and verified from the offline root down.
2. Every statement is fetched and checked, then the fingerprints of the box's backbones and the free space of its disk,
   before a large file is.
3. Each bundle is fetched, verified and put in its place by one rename; bundles are named by digest and never change.
4. The caller remembers with which options the pull succeeded.
5. One rename of `current.json` activates all of them. What neither this set nor the one before names is then removed.

Every pull hashes all bundles of the set, also one that changes nothing: a damaged bundle is fetched again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from elp_core.files import remove_temporary, write_whole
from pipelines.distribution.fetched_bundle import check_space, fetch_bundle, has_bundle, remove_bundle
from pipelines.distribution.resumed_download import fetch_bytes
from pipelines.distribution.sources import Source
from pipelines.distribution.trusted_metadata import TrustedMetadata, trusted_metadata
from pipelines.errors import DeliveryRefused, DiskFull, StateDamaged
from pipelines.local.box_home import (
    CURRENT,
    PREVIOUS,
    ActiveSet,
    PullRecord,
    active_set,
    bundle_folder,
    note_pull,
    previous_set,
    readable_sets,
    statement_file,
)
from pipelines.locks import file_lock
from pipelines.outages import awaited, disk_is_full
from pipelines.registry.delivery.delivered_statements import check_statements
from pipelines.registry.delivery.delivery_metadata import statement_keys
from pipelines.registry.delivery.site_set import DeliveredAdapter, SiteSet, read_site_set, set_path
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
    recheck: bool = False,
    remember: Callable[[], None] = lambda: None,
    first_root: bytes | None = None,
    accept_override: bool = False,
    now: datetime | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> PullResult:
    """Bring a box to the set that a source offers for its site.

    `recheck` compares the fingerprints also with a set that is active already. `remember` is called when everything is
    verified and on the disk, before the set is activated. Raises DeliveryRefused if anything is not to be trusted or
    has expired, ServiceError if the source does not answer or breaks off, DiskFull if there is no space for the
    bundles. The active set is then what it was.
    """
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(box / "pull.lock"):
        try:
            result = _pull(
                box,
                site,
                source,
                fingerprints,
                recheck=recheck,
                remember=remember,
                first_root=first_root,
                accept_override=accept_override,
                now=now or datetime.now(UTC),
                log=log,
            )
        except Exception as error:
            with contextlib.suppress(OSError):
                # on a disk that takes nothing, the report has it all the same
                note_pull(box, failed_pull(error))
            raise
        note_pull(box, PullRecord(utc_now(), "activated" if result.changed else "unchanged"))
        return result


def failed_pull(error: Exception) -> PullRecord:
    """Return the record of a pull that ended with an error of any kind."""
    if isinstance(error, DiskFull) or disk_is_full(error):
        return PullRecord(utc_now(), "disk full", awaited(error))
    return PullRecord(utc_now(), getattr(error, "reason", "failed"), str(error) or type(error).__name__)


def _pull(
    box: Path,
    site: str,
    source: Source,
    fingerprints: Fingerprints,
    *,
    recheck: bool,
    remember: Callable[[], None],
    first_root: bytes | None,
    accept_override: bool,
    now: datetime,
    log: Callable[[str], None],
) -> PullResult:
    _clean(box, log)
    metadata = trusted_metadata(box, source, first_root, now)
    target, present = metadata.target(set_path(site)), _active_if_sound(box, log)
    same = present is not None and present.digest == target.sha256
    content = (box / CURRENT).read_bytes() if same else fetch_bytes(source, target)
    wanted = read_site_set(content, site)
    keys, taken = statement_keys(metadata.root), _accepted_overrides(box)
    for adapter in wanted.adapters:
        _check_adapter(box, source, metadata, adapter, keys, accept_override or adapter.entry in taken)
    missing = [adapter for adapter in wanted.adapters if not has_bundle(box, adapter)]
    if recheck or (wanted.adapters and (missing or not same)):
        _check_backbones(wanted, fingerprints)
    for adapter in missing:
        # what is left there is damaged; its space is free then
        remove_bundle(box, adapter)
    check_space(box, metadata, missing)
    for adapter in missing:
        fetch_bundle(box, source, metadata, adapter, log)
    remember()
    if not same:
        _activate(box, content)
    if missing or not same:
        _prune(box)
    before = present.site_set.adapters if present else ()
    return PullResult(site, source.shown, not same, wanted.adapters, before, metadata.signed_at.isoformat())


def _accepted_overrides(box: Path) -> set[str]:
    """Return the ledger entries of the overrides in the sets of a box: a person accepted each."""
    adapters = [adapter for one in readable_sets(box).values() for adapter in one.site_set.adapters]
    return {adapter.entry for adapter in adapters if not adapter.verdict}


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
    own = fingerprints()
    for adapter in wanted.adapters:
        if adapter.fingerprint not in own:
            raise DeliveryRefused(
                "backbone",
                f"{adapter.name} belongs to the backbone {adapter.backbone} ({adapter.fingerprint}), this box "
                f"has {', '.join(sorted(own))}; bring that backbone to the box, and repeat the pull with --backbone "
                "ID|FOLDER for each backbone that the set needs",
            )


def _activate(box: Path, content: bytes) -> None:
    """Put a set in force. All that it names is on the disk. A damaged set does not become the one before."""
    with contextlib.suppress(StateDamaged):
        if present := active_set(box):
            write_whole(box / PREVIOUS, present.site_set.content, durable=True)
    write_whole(box / CURRENT, content, durable=True)


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
    adapters = [adapter for one in readable_sets(box).values() for adapter in one.site_set.adapters]
    kept = {bundle_folder(box, adapter.bundle) for adapter in adapters}
    kept |= {statement_file(box, digest) for adapter in adapters for digest in adapter.envelopes.values()}
    for folder in (box / "bundles", box / "statements", box / "downloads"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path in kept:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _active_if_sound(box: Path, log: Callable[[str], None]) -> ActiveSet | None:
    """Return the active set; None if there is none, or if it is damaged: the one of the source then replaces it."""
    try:
        return active_set(box)
    except StateDamaged as error:
        log(f"{error}; this pull does that")
        return None


def _clean(box: Path, log: Callable[[str], None]) -> None:
    """Remove what a killed pull left, and a damaged set before the active one; the lock says that no other one runs."""
    try:
        previous_set(box)
    except StateDamaged as error:
        log(f"{error}; this pull removes it")
        (box / PREVIOUS).unlink()
    for folder in (box, box / "statements", box / "trust"):
        if folder.is_dir():
            remove_temporary(folder)
    for left in (box / "bundles").glob(".new-*"):
        shutil.rmtree(left)
