"""The champions of each site with the statements that made them champions, as a set that boxes can check.

A site whose set a box would refuse is left out with the reason: its boxes keep what was published before.
"""

from __future__ import annotations

import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from elp_core.bundle.format import MANIFEST, digest_of
from pipelines.errors import AttestationError, DeliveryRefused
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.delivery.delivered_statements import check_statements
from pipelines.registry.delivery.site_set import ENTRY, LINEAGE, VERDICT, DeliveredAdapter, SiteSet
from pipelines.registry.ledger.entry import MOVES, SITE_MOVES, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.pyfunc.served_files import BUNDLE
from pipelines.registry.signing.canonical_json import parse_json, sha256
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.slot import Slot
from pipelines.registry.statements import stored_lineage
from pipelines.server.delivery.publish_metadata import PublishedSet
from pipelines.server.ledger import LEDGER, STATEMENTS
from pipelines.server.mlflow_private import served_artifacts
from pipelines.server.storage.artifact_bytes import served_path
from pipelines.server.storage.site_entries import entries_about
from pipelines.server.storage.version_rows import newest_statements, version_row

_SCRATCH = "elp-deliver-"
"""Beginning of the name of a temporary folder with a file from an object store."""


@dataclass
class SiteSets:
    """The sets of some sites, and by site the sentence why it has none."""

    sets: dict[str, PublishedSet] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def newest_move(session: Session) -> int:
    """Return the number of the newest ledger entry that changed a champion; 0 without one."""
    return int(session.scalar(select(func.max(LEDGER.c.seq)).where(LEDGER.c.event.in_(MOVES))) or 0)


def read_site_sets(session: Session, sites: Sequence[str], keys: KeyRing) -> SiteSets:
    """Return the sets of these sites as they are now, each checked with the keys that the root names."""
    champions: dict[str, list[tuple[Slot, int]]] = {site: [] for site in sites}
    table = SqlRegisteredModelAlias
    for name, version in session.execute(select(table.name, table.version).where(table.alias == CHAMPION)):
        slot = Slot.of_model(name)
        if slot is not None and slot.site in champions:
            champions[slot.site].append((slot, int(version)))
    found = SiteSets()
    for site, slots in champions.items():
        try:
            made = [
                _adapter(session, slot, version, keys) for slot, version in sorted(slots, key=lambda one: str(one[0]))
            ]
        except (DeliveryRefused, AttestationError) as error:
            found.faults[site] = str(error)
            continue
        files = {path: entry for _, more in made for path, entry in more.items()}
        found.sets[site] = PublishedSet(SiteSet(site, tuple(adapter for adapter, _ in made)), files)
    return found


def _adapter(
    session: Session, slot: Slot, version: int, keys: KeyRing
) -> tuple[DeliveredAdapter, dict[str, tuple[int, str]]]:
    """Return a champion, and size and SHA-256 of each of its files by target path."""
    model = slot.model_name
    row = version_row(session, model, version)
    lineage = _statement(session, "lineage", model, version)
    entry = _promotion(session, slot, version)
    if row is None or lineage is None or entry is None:
        raise DeliveryRefused("statement", f"{slot} v{version} has no lineage statement, or no ledger entry")
    bundle = str(lineage["bundle"])
    passed = (STATEMENTS.c.outcome == "passed", STATEMENTS.c.bundle == bundle)
    verdict = None if entry[1] == "overridden" else _statement(session, "verdict", model, version, *passed)
    contents = {LINEAGE: str(lineage["envelope"]).encode(), ENTRY: entry[0].encode()}
    if verdict is not None:
        contents[VERDICT] = str(verdict["envelope"]).encode()
    signed = stored_lineage(read_envelope(contents[LINEAGE]).payload)
    adapter = DeliveredAdapter(
        slot=str(slot),
        version=version,
        bundle=bundle,
        backbone=signed.material("backbone").uri,
        fingerprint=str(lineage["fingerprint"]),
        lineage=sha256(contents[LINEAGE]),
        lineage_at=str(lineage["at"]),
        verdict=sha256(contents[VERDICT]) if verdict is not None else "",
        verdict_at=str(verdict["at"]) if verdict is not None else "",
        entry=sha256(contents[ENTRY]),
    )
    # what a box would refuse is not published; whether an override is taken is for the box to say
    check_statements(adapter, contents, keys, accept_override=True)
    files = {adapter.path(name): (len(content), sha256(content)) for name, content in contents.items()}
    files |= {adapter.path(name): size for name, size in _bundle_files(row.storage_location or "", adapter).items()}
    return adapter, files


def _statement(session: Session, kind: str, model: str, version: int, *where: Any) -> Any:
    query = newest_statements(kind, model, version).where(*where).limit(1)
    return session.execute(query).mappings().first()


def _promotion(session: Session, slot: Slot, version: int) -> tuple[str, str] | None:
    """Return envelope and event of the entry that made a version its slot's champion."""
    # of an entry about the whole site, the version is in the entry only
    after = or_(LEDGER.c.after_version == version, LEDGER.c.event.in_(SITE_MOVES))
    about = (entries_about(str(slot)), after, LEDGER.c.event.in_(MOVES))
    query = select(LEDGER.c.envelope, LEDGER.c.event, LEDGER.c.entry).where(*about).order_by(LEDGER.c.seq.desc())
    for envelope, event, text in session.execute(query):
        entry = about_slot(read_entry(text), slot)
        if entry is not None and entry.after == version:
            return str(envelope), str(event)
    return None


def _bundle_files(location: str, adapter: DeliveredAdapter) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of the bundle's files by name, from its manifest: the tensors are not read."""
    with stored_file(location, MANIFEST) as path:
        manifest = path.read_bytes()
    if digest_of(manifest) != adapter.bundle:
        raise DeliveryRefused(
            "altered",
            f"{adapter.name}: the stored manifest has the digest {digest_of(manifest)}, signed is {adapter.bundle}",
        )
    listed = parse_json(manifest, MANIFEST)["files"]
    found = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in listed.items()}
    return {**found, MANIFEST: (len(manifest), sha256(manifest))}


@dataclass(frozen=True)
class StoredFile:
    """A file of a stored bundle as a local path."""

    path: Path
    scratch: Path | None = None
    """The folder to remove after use, if the file came from an object store."""


@contextmanager
def stored_file(location: str, name: str) -> Iterator[Path]:
    """Give a file of the bundle in a logged model's folder as a local path, while the block runs."""
    found = find_stored(location, name)
    try:
        yield found.path
    finally:
        if found.scratch is not None:
            shutil.rmtree(found.scratch, ignore_errors=True)


def find_stored(location: str, name: str) -> StoredFile:
    """Return a file of the bundle in a logged model's folder; an object store's file is downloaded."""
    folder = served_path(location)
    if folder is None:
        raise DeliveryRefused("incomplete", f"the bundle is stored at {location or 'no place'}, outside this server")
    path, scratch = posixpath.join(folder, BUNDLE, name), None
    try:
        local = served_artifacts().get_local_path(path)
        if local is not None and Path(local).is_file():
            return StoredFile(Path(local))
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH))
        return StoredFile(Path(served_artifacts().download_artifacts(path, str(scratch))), scratch)
    except Exception as error:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        # object stores raise their own errors
        raise DeliveryRefused("incomplete", f"{name} of a bundle cannot be read: {error}") from error
