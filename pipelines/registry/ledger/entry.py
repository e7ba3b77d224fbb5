"""Entries of the ledger: one for each event of a slot, with the hash of the entry before it.

The functions are pure; the server has the tables. A text that is no entry raises AttestationError. Format:
docs/formats/ledger.md.
"""

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
"""Bytes of an entry. A longer one could be signed and not be read again: see `canonical_json.MAX_BYTES`."""

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
    "held",
    "hold ended",
    "restored",
    "data deleted",
    "trash emptied",
    "voice enrolled",
    "voice revoked",
    "migration stated",
    "migrated",
    "migrated back",
]
SITE_MOVES: tuple[Event, ...] = ("migrated", "migrated back")
"""Events that move the champions of several slots of a site; `site_moves` gives one entry for each slot."""
MOVES: tuple[Event, ...] = ("promoted", "rolled back", "retired", "overridden", "override expired", *SITE_MOVES)
"""Events after which another version, or none, is champion."""


@dataclass(frozen=True)
class Principal:
    """A user, a worker or the server, as far as the server knows."""

    name: str
    """The logged-in user; without a login the name that the caller sent, or ``unknown``."""
    login: bool
    """Whether a login proved the name."""
    address: str
    """Network address of the caller; empty for the server's own actions."""


@dataclass(frozen=True)
class LedgerEntry:
    """One event."""

    seq: int
    """1, 2, 3, …"""
    prev: str
    """Hash (hex) of the entry before; `NOTHING` for the first."""
    at: str
    """UTC, ISO 8601, microseconds; never earlier than the entry before."""
    event: Event
    slot: str
    """``SITE/TASK``; empty if the event concerns no slot."""
    before: int | None
    """Champion before, or None. ``from`` in JSON."""
    after: int | None
    """The version concerned: the champion after, or the refused, gated, registered … version. ``to`` in JSON."""
    bundle: str
    """``sha256:…`` of that version's bundle; empty if there is none."""
    principal: Principal
    """``who`` in JSON."""
    reason: str
    statements: tuple[str, ...] = ()
    """Digests (hex) of the statements on which the event is based."""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """Canonical JSON."""
        values = to_dict(self)
        # `from` is a word of Python, so the file and the record name these fields differently
        values |= {"from": values.pop("before"), "to": values.pop("after"), "who": values.pop("principal")}
        return canonical_json(values).decode()

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return sha256(self.text.encode())


@dataclass(frozen=True)
class LedgerRow:
    """An entry in its stored form."""

    seq: int
    entry: str
    """Canonical JSON of the entry."""
    hash: str
    envelope: str
    """DSSE envelope around the entry, signed for the role ``ledger``."""


@dataclass(frozen=True)
class Head:
    """Number and hash of a ledger's newest entry."""

    seq: int = 0
    hash: str = NOTHING


def next_entry(head: Head, last_at: str, **fields: Any) -> LedgerEntry:
    """Return the entry that follows `head`, with the other `fields`; `last_at` is the date of `head`, or empty."""
    at = utc_now()
    # the clock may be set back, but the dates of a ledger never decrease
    if last_at and moment(last_at, "at") > moment(at, "at"):
        at = last_at
    return LedgerEntry(seq=head.seq + 1, prev=head.hash, at=at, **fields)


def sign_entry(entry: LedgerEntry, trusted_keys: KeyRing) -> LedgerRow:
    """Return the signed row of an entry, which must be no longer than `MAX_ENTRY`."""
    content = entry.text.encode()
    if len(content) > MAX_ENTRY:
        raise AttestationError(
            "malformed", f"a ledger entry ({entry.event}) has {len(content)} bytes, expected at most {MAX_ENTRY}"
        )
    return LedgerRow(entry.seq, entry.text, entry.hash, sign(content, trusted_keys, "ledger").text)


def read_entry(text: str) -> LedgerEntry:
    """Read an entry; the law: ``read_entry(e.text) == e``, and nothing else is read."""
    values = parse_canonical_json(text.encode(), "ledger entry")
    try:
        values |= {"before": values.pop("from"), "after": values.pop("to"), "principal": values.pop("who")}
        entry = from_dict(LedgerEntry, values, "ledger entry")
        same = entry.text == text
    except (KeyError, ConfigError, RecursionError) as error:
        raise AttestationError("malformed", f"a ledger entry lacks a field or has an unknown one: {error}") from error
    moment(entry.at, "at")
    if not same or entry.seq < 1:
        raise AttestationError("malformed", f"entry {entry.seq} has spellings that this format does not have")
    return entry


def envelope_of(row: LedgerRow) -> Envelope:
    """Return the row's envelope, whose payload must be the entry."""
    envelope = read_envelope(row.envelope)
    if envelope.text != row.envelope:
        raise AttestationError("malformed", "the envelope is not in its canonical spelling")
    if envelope.payload != row.entry.encode():
        raise AttestationError("mismatch", "the envelope contains another entry than the row")
    return envelope
