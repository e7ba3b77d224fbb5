"""The ledger: one entry for each thing that happened to a slot, each naming the hash of the one before.

Pure functions over rows in the order of their numbers; the tables are the server's. Format: docs/formats/ledger.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from pipelines.errors import AttestationError
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_canonical_json, sha256, utc_now
from pipelines.registry.signing.envelope import Envelope, read_envelope, sign
from pipelines.registry.signing.keys import KeyRing

NOTHING = "0" * 64
"""Hash before the first entry."""

MAX_ENTRY = 2**20
"""Bytes of an entry. A longer one would be signed and never be read again: see `canonical.MAX_BYTES`."""

Event = Literal[
    "registered",
    "gated",
    "promoted",
    "refused",
    "rolled back",
    "retired",
    "override asked",
    "overridden",
    "override expired",
    "override withdrawn",
    "deleted",
    "keys changed",
    "users changed",
]
MOVES: tuple[Event, ...] = ("promoted", "rolled back", "retired", "overridden", "override expired")
"""Events after which another version, or none, is champion."""


@dataclass(frozen=True)
class Principal:
    """Who did it, as far as the server knows."""

    name: str
    """The user who was logged in, else what the caller claims, else ``unknown``."""
    login: bool
    """True where the name was proven by a login."""
    address: str
    """Network address of the caller; empty for what the server does by itself."""


@dataclass(frozen=True)
class LedgerEntry:
    """One thing that happened."""

    seq: int
    """1, 2, 3, …"""
    prev: str
    """Hash (hex) of the entry before; `NOTHING` for the first."""
    at: str
    """UTC, ISO 8601, microseconds; never before the entry before."""
    event: Event
    slot: str
    """``SITE/TASK``; empty for what concerns no slot."""
    before: int | None
    """Champion before, or None. ``from`` in JSON."""
    after: int | None
    """The version concerned: champion after, or refused, gated, registered … ``to`` in JSON."""
    bundle: str
    """``sha256:…`` of that version's bundle; empty where there is none."""
    principal: Principal
    """``who`` in JSON."""
    reason: str
    statements: tuple[str, ...] = ()
    """Digests (hex) of the statements that the event rests on."""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """Canonical JSON."""
        values = to_dict(self)
        values |= {"from": values.pop("before"), "to": values.pop("after"), "who": values.pop("principal")}
        return canonical_json(values).decode()

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return sha256(self.text.encode())


@dataclass(frozen=True)
class LedgerRow:
    """An entry as it is stored."""

    seq: int
    entry: str
    """Canonical JSON of the entry."""
    hash: str
    envelope: str
    """DSSE envelope around the entry, signed for the role ``ledger``."""


@dataclass(frozen=True)
class Head:
    """How far a ledger has come: the number and hash of its newest entry."""

    seq: int = 0
    hash: str = NOTHING


def next_entry(head: Head, last_at: str, **fields: Any) -> LedgerEntry:
    """The entry that follows `head`, dated now, or as the one before where the clock was set back.

    Args:
        head: Of the ledger.
        last_at: `at` of its newest entry; empty where there is none.
        fields: Every other field of `Entry`.
    """
    at = utc_now()
    if last_at and moment(last_at, "at") > moment(at, "at"):
        at = last_at
    return LedgerEntry(seq=head.seq + 1, prev=head.hash, at=at, **fields)


def sign_entry(entry: LedgerEntry, ring: KeyRing) -> LedgerRow:
    """The entry as a row, signed.

    Raises:
        AttestationError: where there is no private key of the role ``ledger``, or the entry is over `MAX_ENTRY`.
    """
    content = entry.text.encode()
    if len(content) > MAX_ENTRY:
        raise AttestationError(
            "malformed", f"a ledger entry ({entry.event}) has {len(content)} bytes, expected at most {MAX_ENTRY}"
        )
    return LedgerRow(entry.seq, entry.text, entry.hash, sign(content, ring, "ledger").text)


def read_entry(text: str) -> LedgerEntry:
    """Read an entry; the law: ``read_entry(e.text) == e``, and nothing else is read.

    Raises:
        AttestationError: with reason ``malformed``.
    """
    values = parse_canonical_json(text.encode(), "ledger entry")
    try:
        values |= {"before": values.pop("from"), "after": values.pop("to"), "principal": values.pop("who")}
        entry = from_dict(LedgerEntry, values, "ledger entry")
        same = entry.text == text
    except (KeyError, ConfigError, RecursionError) as error:
        raise AttestationError("malformed", f"a ledger entry lacks something or has too much: {error}") from error
    moment(entry.at, "at")
    if not same or entry.seq < 1:
        raise AttestationError("malformed", f"entry {entry.seq} has spellings that this format does not have")
    return entry


def envelope_of(row: LedgerRow) -> Envelope:
    """The row's envelope, whose payload is the entry.

    Raises:
        AttestationError: where it is malformed, or holds another entry than the row.
    """
    envelope = read_envelope(row.envelope)
    if envelope.text != row.envelope:
        raise AttestationError("malformed", "the envelope is not in its canonical spelling")
    if envelope.payload != row.entry.encode():
        raise AttestationError("mismatch", "the envelope holds another entry than the row")
    return envelope
