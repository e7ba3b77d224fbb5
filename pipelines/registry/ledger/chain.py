"""Is the ledger whole? Every entry's hash, link, moment and signature, and the anchor that it must reach.

One pass over the rows in their order; a fault is reported where it is, and entries after it are judged on their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import NOTHING, Head, LedgerEntry, LedgerRow, envelope_of, read_entry
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.signing.envelope import verify
from pipelines.registry.signing.keys import KeyRing

Trouble = Literal["cut", "edited", "reordered", "forked", "bad signature", "untrusted key", "rewritten"]


@dataclass(frozen=True)
class ChainFault:
    """A place where the ledger is not what was written."""

    seq: int
    """Number of the entry: the first one missing of a cut."""
    trouble: Trouble
    detail: str

    def __str__(self) -> str:
        return f"entry {self.seq}: {self.trouble}: {self.detail}"


@dataclass(frozen=True)
class Chain:
    """What came of checking a ledger."""

    entries: int
    head: Head
    faults: tuple[ChainFault, ...]
    by_revoked_key: tuple[int, ...]
    """Entries whose own signature counts no more, held by the good signature of a later entry that chains to them."""

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.faults


@dataclass
class _State:
    """How far the pass has come."""

    head: Head = field(default_factory=Head)
    next: int = 1
    """Number of the entry that is to come."""
    at: datetime | None = None
    count: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    faults: list[ChainFault] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Entries by a revoked key that no later good signature holds yet."""
    held: list[int] = field(default_factory=list)


def verify_chain(rows: Iterable[LedgerRow], ring: KeyRing, anchor: Head | None = None) -> Chain:
    """Check a whole ledger.

    Args:
        rows: In the order of their numbers, from the first.
        ring: The trusted keys.
        anchor: How far the ledger is known to have come; None checks no end.
    """
    state = _State()
    for row in rows:
        state.count += 1
        found = len(state.faults)
        _link(state, row)
        entry = _content(state, row)
        if len(state.faults) > found:
            # whatever comes now does not chain to what came before, so it cannot hold it
            _give_up(state)
        if anchor is not None and row.seq == anchor.seq and row.hash != anchor.hash:
            known = f"the anchor knows it as {anchor.hash[:16]}, here it is {row.hash[:16]}"
            _note(state, row.seq, "rewritten", known)
        _signature(state, row, entry, ring)
        state.seen[row.hash] = row.seq
        state.head = Head(row.seq, row.hash)
    _give_up(state)
    if anchor is not None and state.next <= anchor.seq:
        _note(state, state.next, "cut", f"the ledger ends here, the anchor knows of {anchor.seq} entries")
    faults = tuple(sorted(state.faults, key=lambda fault: fault.seq))
    return Chain(state.count, state.head, faults, tuple(state.held))


def _note(state: _State, seq: int, trouble: Trouble, detail: str) -> None:
    state.faults.append(ChainFault(seq, trouble, detail))


def _give_up(state: _State) -> None:
    """Entries by a revoked key that nothing holds are faults."""
    for seq in state.pending:
        _note(state, seq, "untrusted key", "it is signed by a revoked key, and no later entry by a good key holds it")
    state.pending.clear()


def _link(state: _State, row: LedgerRow) -> None:
    """The row follows the one before it, by number."""
    if row.seq > state.next:
        missing = f"{state.next}" if row.seq == state.next + 1 else f"{state.next} to {row.seq - 1}"
        _note(state, state.next, "cut", f"missing: {missing}")
    elif row.seq == state.head.seq:
        _note(state, row.seq, "forked", "two entries have this number")
    elif row.seq < state.next:
        _note(state, row.seq, "reordered", f"it comes after entry {state.head.seq}")
    state.next = max(state.next, row.seq + 1)


def _content(state: _State, row: LedgerRow) -> LedgerEntry | None:
    """The row is what its hash says, and names the entry before it by hash."""
    try:
        entry = read_entry(row.entry)
    except AttestationError as error:
        _note(state, row.seq, "edited", str(error))
        return None
    if entry.hash != row.hash:
        _note(state, row.seq, "edited", f"its text hashes to {entry.hash[:16]}, stored is {row.hash[:16]}")
    if entry.seq != row.seq:
        _note(state, row.seq, "reordered", f"its text says that it is entry {entry.seq}")
    at = moment(entry.at, "at")
    if row.seq == state.head.seq + 1:
        _prev(state, row, entry)
        if state.at is not None and at < state.at:
            _note(state, row.seq, "reordered", f"it is dated {entry.at}, before the entry before it")
    state.at = at
    return entry


def _prev(state: _State, row: LedgerRow, entry: LedgerEntry) -> None:
    """The entry names the hash of the one before it."""
    if entry.prev == state.head.hash:
        return
    continued = 0 if entry.prev == NOTHING else state.seen.get(entry.prev, state.head.seq)
    if continued != state.head.seq:
        _note(state, row.seq, "forked", f"it continues entry {continued}, not entry {state.head.seq}")
    else:
        detail = f"it was written after another entry {state.head.seq} than the one that is here"
        _note(state, row.seq, "rewritten", detail)


def _signature(state: _State, row: LedgerRow, entry: LedgerEntry | None, ring: KeyRing) -> None:
    """The row's envelope holds this entry, signed by a key that could sign the ledger then."""
    if entry is None:
        return
    try:
        verify(envelope_of(row), ring, "ledger", recorded_at=entry.at)
    except AttestationError as error:
        if error.reason == "revoked":
            state.pending.append(row.seq)
        elif error.reason in ("unknown key", "wrong role", "retired"):
            _note(state, row.seq, "untrusted key", str(error))
        else:
            _note(state, row.seq, "bad signature", str(error))
        return
    state.held += state.pending
    state.pending.clear()
