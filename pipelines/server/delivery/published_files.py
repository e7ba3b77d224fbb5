"""The file at a target path: the path has its bundle and its hash, so no index is needed and old sets still load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.registry.delivery.published_root import METADATA
from pipelines.registry.delivery.site_set import BUNDLE_FILES, ENTRY, LINEAGE, SET, VERDICT
from pipelines.registry.ledger.entry import MOVES
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.slot import Slot
from pipelines.server.delivery.champion_sets import find_stored
from pipelines.server.ledger import LEDGER, STATEMENTS
from pipelines.server.storage.site_entries import entries_about
from pipelines.server.storage.version_rows import version_row

_BUNDLE = re.compile(r"(?P<slot>[a-z0-9-]+/[a-z]+)/(?P<bundle>[0-9a-f]{64})/(?P<hash>[0-9a-f]{64})\.(?P<name>[\w.]+)")
_SET = re.compile(r"(?P<site>[a-z0-9-]+)/(?P<hash>[0-9a-f]{64})\." + re.escape(SET))


@dataclass(frozen=True)
class PublishedFile:
    """The content of a target: a file on this disk, or bytes."""

    path: Path | None = None
    content: bytes = b""
    scratch: Path | None = None
    """A folder to remove when the file is sent; None if the file stays."""


def find_published(session: Session, folder: Path, target: str) -> PublishedFile | None:
    """Return the file at a target path with the hash in its name; None if there is none.

    The hash of a large file is not computed again: the box does that, and a wrong file costs it one download.
    """
    if found := _SET.fullmatch(target):
        path = folder / METADATA / f"{found['hash']}.{found['site']}.set"
        return PublishedFile(content=path.read_bytes()) if path.is_file() else None
    found = _BUNDLE.fullmatch(target)
    slot = None if found is None else Slot.of_model("elp." + found["slot"].replace("/", "."))
    if found is None or slot is None:
        return None
    bundle, name = f"sha256:{found['bundle']}", found["name"]
    if name in (LINEAGE, VERDICT, ENTRY):
        return _envelope(session, slot, bundle, name, found["hash"])
    return _bundle_file(session, slot, bundle, name) if name in BUNDLE_FILES else None


def _envelope(session: Session, slot: Slot, bundle: str, name: str, digest: str) -> PublishedFile | None:
    if name == ENTRY:
        where = (entries_about(str(slot)), LEDGER.c.event.in_(MOVES))
        texts = session.scalars(select(LEDGER.c.envelope).where(*where).order_by(LEDGER.c.seq.desc()))
    else:
        table = STATEMENTS.c
        about = (table.bundle == bundle, table.model == slot.model_name)
        texts = session.scalars(select(table.envelope).where(*about).order_by(table.seq.desc()))
    content = next((raw for raw in map(str.encode, texts) if sha256(raw) == digest), None)
    return None if content is None else PublishedFile(content=content)


def _bundle_file(session: Session, slot: Slot, bundle: str, name: str) -> PublishedFile | None:
    table = STATEMENTS.c
    about = (table.bundle == bundle, table.model == slot.model_name, table.kind == "lineage")
    for version in session.scalars(select(table.version).where(*about).order_by(table.seq.desc())):
        row = version_row(session, slot.model_name, int(version))
        if row is None:
            continue
        stored = find_stored(row.storage_location or "", name)
        return PublishedFile(stored.path, scratch=stored.scratch)
    return None
