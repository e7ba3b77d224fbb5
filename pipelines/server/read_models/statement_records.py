"""Signed statements as the server keeps them: verdicts and lineages of versions, and the list of the API.

Nothing is verified here: the server did that before it stored them, and `elp audit --verify` does it again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.in_toto import BUNDLE_DIGEST
from pipelines.registry.signing.envelope import Envelope, read_envelope
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement, stored_verdict
from pipelines.server.ledger.ledger_tables import STATEMENTS
from pipelines.server.read_models.by_version import Key, rows_at, wanted
from pipelines.server.read_models.ledger_records import readable

FILTERS = ("model", "version", "kind", "fingerprint", "dataset", "bundle")
"""Columns that the API can select statements by."""
_COLUMNS = [STATEMENTS.c[name] for name in ("digest", "kind", "seq", "model", "version", "keyid", "at", "envelope")]


@dataclass(frozen=True)
class RecordedVerdict:
    """A verdict as the server keeps it."""

    digest: str
    """SHA-256 (hex) of the statement."""
    seq: int
    """Number of the ledger entry that recorded it."""
    keyid: str
    at: str
    """When the server accepted it: UTC, ISO 8601."""
    statement: VerdictStatement


@dataclass(frozen=True)
class RecordedLineage:
    """A lineage as the server keeps it."""

    digest: str
    keyid: str
    at: str
    version: int
    statement: LineageStatement


@dataclass(frozen=True)
class RecordedEnvelope:
    """A statement of either kind in its envelope."""

    digest: str
    kind: Literal["lineage", "verdict"]
    model: str
    version: int
    at: str
    envelope: Envelope


@dataclass(frozen=True)
class LineageFacts:
    """What the audit needs of a lineage to find adapters by their data and backbone; empty if nothing names it."""

    bundle: str
    backbone: str = ""
    fingerprint: str = ""
    dataset: str = ""
    revision: str = ""
    clips_digest: str = ""


def verdicts(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, list[RecordedVerdict]]:
    """Return the verdicts on these versions, oldest first."""
    found: dict[Key, list[RecordedVerdict]] = {}
    for row in _statements(connection, "verdict", keys):
        found.setdefault((row.model, row.version), []).append(_recorded_verdict(row))
    return found


def verdicts_after(connection: sa.Connection, after: Mapping[str, int]) -> dict[str, Iterator[RecordedVerdict]]:
    """Return, by model, the verdicts that ledger entries after this number recorded, newest first.

    Verdicts on deleted versions are included. Each verdict is parsed when the iterator reaches it: a slot may have
    many, and callers seldom need more than one.
    """
    these = wanted(connection, after.items())
    later = sa.and_(
        STATEMENTS.c.model == these.c.name, STATEMENTS.c.kind == "verdict", STATEMENTS.c.seq > these.c.number
    )
    query = sa.select(*_COLUMNS).join_from(these, STATEMENTS, later).order_by(STATEMENTS.c.seq.desc())
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, []).append(row)
    return {model: map(_recorded_verdict, rows) for model, rows in found.items()}


def lineages(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, RecordedLineage]:
    """Return the newest signed lineage of each of these versions that has one."""
    found = {(row.model, row.version): row for row in _statements(connection, "lineage", keys)}
    return {
        key: RecordedLineage(row.digest, row.keyid, row.at, row.version, _lineage(row.envelope))
        for key, row in found.items()
    }


def lineage_digests(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, str]:
    """Return the digest of the newest lineage statement of each of these versions that has one."""
    return {(row.model, row.version): row.digest for row in _statements(connection, "lineage", keys)}


def lineage_facts(text: str) -> LineageFacts:
    """Read the facts from the envelope of a lineage.

    Raises:
        AttestationError: The text is not such an envelope.
    """
    with readable("lineage"):
        values = json.loads(_payload(text))
        build = values["predicate"]["buildDefinition"]
        materials = {one["name"]: one for one in build["resolvedDependencies"]}

        def digits(material: str, algorithm: str) -> str:
            return str(materials.get(material, {}).get("digest", {}).get(algorithm, ""))

        return LineageFacts(
            bundle="sha256:" + values["subject"][0]["digest"][BUNDLE_DIGEST],
            backbone=str(materials["backbone"].get("uri", "")),
            fingerprint="sha256:" + digits("backbone", "elpFingerprint"),
            dataset=str(build["externalParameters"]["dataset"]),
            revision=digits("dataset", "gitCommit"),
            clips_digest="sha256:" + digits("clips", "elpIds"),
        )


def recorded_envelope(connection: sa.Connection, digest: str) -> RecordedEnvelope | None:
    """Return a statement of either kind, or None."""
    row = connection.execute(sa.select(*_COLUMNS).where(STATEMENTS.c.digest == digest)).first()
    if row is None:
        return None
    return RecordedEnvelope(row.digest, row.kind, row.model, row.version, row.at, read_envelope(row.envelope))


def statement_rows(
    session: Session, selected: Mapping[str, Any], before: int | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the rows of statements with these values in `FILTERS`, newest first.

    Args:
        session: Of the registry.
        selected: Value by column.
        before: Only those that an entry with a smaller number recorded: where the page before ended.
        limit: The most rows; None means all.
    """
    where = [STATEMENTS.c[name] == value for name, value in selected.items()]
    if before is not None:
        where.append(STATEMENTS.c.seq < before)
    rows = session.execute(sa.select(STATEMENTS).where(*where).order_by(STATEMENTS.c.seq.desc()).limit(limit))
    return [dict(row) for row in rows.mappings()]


def _statements(connection: sa.Connection, kind: str, keys: Iterable[Key]) -> list[Any]:
    """Return rows of one kind on these versions, oldest first."""
    found = rows_at(connection, keys, STATEMENTS.c.model, _COLUMNS, STATEMENTS.c.kind == kind)
    return sorted(found, key=lambda row: row.seq)


def _recorded_verdict(row: Any) -> RecordedVerdict:
    with readable("verdict"):
        statement = stored_verdict(_payload(row.envelope))
    return RecordedVerdict(row.digest, row.seq, row.keyid, row.at, statement)


def _lineage(text: str) -> LineageStatement:
    statement = parse_statement(read_envelope(text).payload)
    if not isinstance(statement, LineageStatement):
        raise AttestationError("mismatch", "a statement stored as a lineage is not a lineage")
    return statement


def _payload(text: str) -> bytes:
    """Return the payload of an envelope, not read strictly: the server did that before it stored the envelope."""
    return base64.b64decode(json.loads(text)["payload"])
