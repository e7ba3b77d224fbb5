"""The guard's tables. They are in the registry's own database, so that one transaction changes both."""

from __future__ import annotations

from sqlalchemy import Column, Engine, Float, Index, Integer, MetaData, String, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError

from pipelines.registry.ledger.entry import NOTHING

METADATA = MetaData()

HEAD = Table(
    "elp_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("at", String(40), nullable=False),
)
"""One row: number, hash and time of the newest entry. Its update is the lock of every guarded write."""

LEDGER = Table(
    "elp_ledger",
    METADATA,
    # the chain gives the numbers: those of a database sequence have gaps after a rollback
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("slot", String(80), nullable=False),
    Column("event", String(40), nullable=False),
    Column("before_version", Integer),
    Column("after_version", Integer),
    Column("entry", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("envelope", Text, nullable=False),
    Index("elp_ledger_slot", "slot", "event", "seq"),
    Index("elp_ledger_event", "event", "seq"),
)

STATEMENTS = Table(
    "elp_statements",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("bundle", String(80), nullable=False),
    Column("fingerprint", String(80), nullable=False),
    Column("dataset", String(200), nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("keyid", String(64), nullable=False),
    Column("envelope", Text, nullable=False),
    Column("at", String(40), nullable=False),
    Index("elp_statements_version", "model", "version", "kind", "seq"),
    Index("elp_statements_bundle", "bundle"),
    Index("elp_statements_fingerprint", "fingerprint"),
    Index("elp_statements_dataset", "dataset"),
)
"""`seq` is the number of the ledger entry that recorded the statement. Two versions may have one lineage."""

FROZEN = Table(
    "elp_frozen",
    METADATA,
    Column("path", String(500), primary_key=True),
    Column("model", String(256), nullable=False),
    Column("version", Integer, nullable=False),
    Column("what", String(40), nullable=False),
)
"""Folders of the artifact store in which nothing may be written or deleted."""

OVERRIDES = Table(
    "elp_overrides",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("slot", String(80), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle", String(80), nullable=False),
    Column("before", Integer),
    Column("before_bundle", String(80), nullable=False),
    Column("reason", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("asked_by", String(256), nullable=False),
    Column("asked_at", String(40), nullable=False),
    Column("approved_by", String(256), nullable=False),
    Column("approved_at", String(40), nullable=False),
    Column("until", String(40), nullable=False),
    Column("ended_at", String(40), nullable=False),
    Column("ended", String(40), nullable=False),
    Index("elp_overrides_open", "ended", "slot"),
)
"""Override requests and their outcome, with empty text for what has not happened. A slot has one open at most."""

_ONLY = 1
"""Id of the one row of `HEAD`."""


def create_tables(engine: Engine) -> None:
    """Create the tables that are missing. Every server process calls this when it starts."""
    METADATA.create_all(engine, checkfirst=True)
    with engine.connect() as connection:
        if connection.execute(select(HEAD.c.seq)).first() is not None:
            return
    try:
        with engine.begin() as connection:
            # the fixed id makes the second of two inserts fail
            connection.execute(insert(HEAD).values(id=_ONLY, seq=0, hash=NOTHING, at=""))
    except IntegrityError:
        # another process inserted it at the same moment
        return
