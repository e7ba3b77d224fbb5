"""The bundle of an adapter in a box: fetched, verified, and put in its place by one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from elp_core.bundle import verify_bundle
from elp_core.errors import BundleError
from elp_core.fail_points import durable_write
from elp_core.files import sync_path
from pipelines.distribution.resumed_download import fetch_file
from pipelines.distribution.sources import Source
from pipelines.distribution.trusted_metadata import TrustedMetadata
from pipelines.errors import DeliveryRefused, DiskFull, StateDamaged
from pipelines.local.box_home import bundle_folder
from pipelines.number_text import count
from pipelines.registry.delivery.site_set import BUNDLE_FILES, DeliveredAdapter

_SPARE = 2**20
"""Bytes that a pull leaves free: its records and the server of the box need some."""


def check_space(box: Path, metadata: TrustedMetadata, missing: Sequence[DeliveredAdapter]) -> None:
    """Raise DiskFull if the disk has no room for bundles: a download that fills it stops the box's server, too."""
    targets = [metadata.target(adapter.path(name)) for adapter in missing for name in BUNDLE_FILES]
    places = [box / "downloads" / target.sha256 for target in targets]
    here = [path for place in places for path in (place, place.with_name(f"{place.name}.part")) if path.is_file()]
    needed = sum(target.length for target in targets) - sum(path.stat().st_size for path in here)
    free = shutil.disk_usage(box).free
    if missing and needed + _SPARE > free:
        raise DiskFull(
            f"fetching {count(len(missing), 'adapter')} needs {needed:,} bytes, and {_SPARE:,} stay free, but the disk "
            f"of {box} has {free:,}; free some space and pull again"
        )


def has_bundle(box: Path, adapter: DeliveredAdapter) -> bool:
    """Return whether the box has the bundle of an adapter, with every byte."""
    place = bundle_folder(box, adapter.bundle)
    try:
        return place.is_dir() and verify_bundle(place).digest == adapter.bundle
    except (BundleError, OSError):
        # a disk that cannot read it, or a folder that may not be listed
        return False


def remove_bundle(box: Path, adapter: DeliveredAdapter) -> None:
    """Remove what is left of a damaged bundle; raise StateDamaged if that is not possible."""
    place = bundle_folder(box, adapter.bundle)
    with contextlib.suppress(OSError):
        place.chmod(0o700)
    shutil.rmtree(place, ignore_errors=True)
    if os.path.lexists(place):
        raise StateDamaged(f"{place} is damaged and cannot be removed; remove it by hand, and pull again")


def fetch_bundle(
    box: Path, source: Source, metadata: TrustedMetadata, adapter: DeliveredAdapter, log: Callable[[str], None]
) -> None:
    """Fetch the bundle of an adapter, verify it and put it in its place."""
    place = bundle_folder(box, adapter.bundle)
    if place.is_dir():
        # two slots may have the same bundle
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
        sync_path(folder)
        with durable_write("delivered bundle"):
            os.replace(folder, place)
        sync_path(place.parent)
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


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:
        # a file system without links
        shutil.copy2(path, place)
        sync_path(place)
