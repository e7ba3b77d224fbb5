"""Every adapter that was ever registered, and every period of a champion: what the audit asks the server for.

Nothing is verified here. An entry or a statement that cannot be read is left out; `elp audit --verify` names it.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import MOVES, LedgerEntry
from pipelines.registry.ledger.site_moves import champion_moves
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.signing.canonical_json import moment
from pipelines.server.ledger import LEDGER, STATEMENTS
from pipelines.server.read_models.by_version import rows_at
from pipelines.server.read_models.signed_records import entry_at, read_lineage, read_stored_entry
from pipelines.server.storage.site_entries import entries_about

_known: dict[str, RegisteredAdapter] = {}
"""What a lineage says, by its digest: reading 5,000 statements takes 0.2 s, and a statement never changes."""


def registered_adapters(
    connection: sa.Connection, slot: str = "", fingerprint: str = "", after: int = 0, limit: int = 1000
) -> tuple[list[RegisteredAdapter], int]:
    """Return adapters, deleted ones included, by date of registration, and the number of the last entry read.

    A version that was registered again with the same bundle is reported with its first date and its newest statement.
    `fingerprint` may be the beginning of the backbone's; `after` is the last entry of the page before.
    """
    same = sa.and_(
        STATEMENTS.c.model == sa.func.replace(sa.literal("elp.") + LEDGER.c.slot, "/", "."),
        STATEMENTS.c.version == LEDGER.c.after_version,
        STATEMENTS.c.kind == "lineage",
        STATEMENTS.c.seq == LEDGER.c.seq,
    )
    columns = LEDGER.c.seq, LEDGER.c.slot, LEDGER.c.after_version, LEDGER.c.at
    query = (
        sa.select(*columns, STATEMENTS.c.digest, STATEMENTS.c.model)
        .join_from(LEDGER, STATEMENTS, same, isouter=True)
        .where(LEDGER.c.event == "registered", LEDGER.c.seq > after, *_of_slot(slot))
    )
    if fingerprint:
        query = query.where(STATEMENTS.c.fingerprint.startswith(fingerprint, autoescape=True))
    rows = connection.execute(query.order_by(LEDGER.c.seq).limit(limit)).all()
    _learn(connection, rows)
    events = LEDGER.c.event.in_(("deleted", "restored"))
    moved = sa.select(*columns, LEDGER.c.event).where(events, *_of_slot(slot)).order_by(LEDGER.c.seq)
    gone = connection.execute(moved).all()
    found: dict[tuple[str, int, str], RegisteredAdapter] = {}
    for row in rows:
        signed = _known.get(row.digest) or _without_lineage(connection, row.seq)
        key = row.slot, row.after_version, signed.bundle
        # an entry without a version says that the whole model was deleted
        mine = (one for one in gone if one.slot == row.slot and one.after_version in (row.after_version, None))
        found[key] = replace(
            signed,
            slot=row.slot,
            version=row.after_version,
            registered=found[key].registered if key in found else row.at,
            deleted=_deleted_at(one for one in mine if one.seq > row.seq),
            statement=row.digest or "",
        )
    return list(found.values()), rows[-1].seq if rows else after


def champion_periods(connection: sa.Connection, slot: str = "") -> list[ChampionPeriod]:
    """Return the periods of all champions of one slot or of all slots, in the order of the ledger."""
    query = sa.select(LEDGER.c.entry).where(LEDGER.c.event.in_(MOVES), *_of_slot(slot)).order_by(LEDGER.c.seq)
    found: list[ChampionPeriod] = []
    present: dict[str, int] = {}
    for text in connection.scalars(query):
        try:
            moves = champion_moves(read_stored_entry(text))
        except AttestationError:
            continue
        for entry in moves:
            if slot in ("", entry.slot):
                _continue_periods(found, present, entry)
    return found


def _continue_periods(found: list[ChampionPeriod], present: dict[str, int], entry: LedgerEntry) -> None:
    """End the period of a slot's champion and begin the next, as an entry says; `present` has the places in `found`."""
    last = present.get(entry.slot)
    # a version that is not the champion can be retired, too: the champion stays
    if entry.event == "retired" and (last is None or found[last].version not in (entry.before, entry.after)):
        return
    if last is not None:
        found[present.pop(entry.slot)] = replace(found[last], until=entry.at)
    if entry.after is not None and entry.event != "retired":
        present[entry.slot] = len(found)
        begun = entry.seq, entry.slot, entry.after, entry.bundle, entry.at
        found.append(ChampionPeriod(*begun, None, entry.event, entry.principal.name, entry.reason))


def champions_at(
    connection: sa.Connection, at: str | None = None, slot: str = ""
) -> tuple[list[ChampionPeriod], list[str]]:
    """Return the champions at a moment by slot, and the slots that had none then but had one at another time.

    `at` is ISO 8601 with an offset, None means now; raises AttestationError if it is anything else.
    """
    periods = champion_periods(connection, slot)
    found = [period for period in periods if period.until is None]
    if at is not None:
        when = moment(at, "at")
        begun = [period for period in periods if moment(period.since, "since") <= when]
        found = [period for period in begun if period.until is None or moment(period.until, "until") > when]
    without = {period.slot for period in periods} - {period.slot for period in found}
    return sorted(found, key=lambda period: period.slot), sorted(without)


def _deleted_at(moves: Iterable[Any]) -> str:
    """Return when a version was deleted, from its deletions and restorations in their order; empty if it is there."""
    deleted = ""
    for move in moves:
        # the first deletion counts: a model that is deleted after its version changes nothing
        deleted = "" if move.event == "restored" else deleted or move.at
    return deleted


def _of_slot(slot: str) -> list[Any]:
    return [entries_about(slot)] if slot else []


def _learn(connection: sa.Connection, rows: Iterable[Any]) -> None:
    """Read the lineages of these rows that this process has not read before."""
    unread = {(row.model, row.after_version) for row in rows if row.digest and row.digest not in _known}
    for row in rows_at(connection, unread, STATEMENTS.c.model, STATEMENTS.c, STATEMENTS.c.kind == "lineage"):
        # an attribute of the lineage is looked up in what the trainer wrote
        with suppress(AttestationError, ConfigError, LookupError, AttributeError):
            lineage = read_lineage(row).statement
            _known[row.digest] = RegisteredAdapter(
                *("", 0, lineage.bundle, "", "", ""),
                backbone=lineage.material("backbone").uri,
                fingerprint=lineage.fingerprint,
                dataset=lineage.dataset,
                revision=lineage.digest_of("dataset", "gitCommit"),
                clips_digest="sha256:" + lineage.digest_of("clips", "elpIds"),
                key=lineage.key,
                inputs=lineage.inputs,
                learned=lineage.learned,
            )


def _without_lineage(connection: sa.Connection, seq: int) -> RegisteredAdapter:
    """Return the bundle alone, from the ledger entry: the server has no lineage that can be read."""
    with suppress(AttestationError):
        if entry := entry_at(connection, seq):
            return RegisteredAdapter("", 0, entry.bundle, "", "", "")
    return RegisteredAdapter("", 0, "", "", "", "")
