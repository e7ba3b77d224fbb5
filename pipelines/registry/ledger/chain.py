"""Check a whole ledger: each entry's hash, link, moment and signature, and the checkpoint that it must reach.

The check is one pass over the rows in their order. A fault is reported at its place, and later entries are checked
independently of it.
"""

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
    """A place at which the ledger differs from what was written."""

    seq: int
    """Number of the entry; of a cut, the first missing one."""
    trouble: Trouble
    detail: str

    def __str__(self) -> str:
        return f"entry {self.seq}: {self.trouble}: {self.detail}"


@dataclass(frozen=True)
class Chain:
    """The result of a check."""

    entries: int
    head: Head
    faults: tuple[ChainFault, ...]
    by_revoked_key: tuple[int, ...]
    """Entries by a revoked key that a later entry with a valid signature follows: that signature covers them."""

    @property
    def whole(self) -> bool:
        """Whether the check found no fault."""
        return not self.faults


@dataclass
class _State:
    """The progress of the pass."""

    head: Head = field(default_factory=Head)
    next: int = 1
    """Number that the next entry must have."""
    at: datetime | None = None
    count: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    faults: list[ChainFault] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Entries by a revoked key that no later valid signature covers yet."""
    held: list[int] = field(default_factory=list)

    def note(self, seq: int, trouble: Trouble, detail: str) -> None:
        self.faults.append(ChainFault(seq, trouble, detail))

    def give_up(self) -> None:
        """Report the entries by a revoked key that no later signature covers."""
        detail = "it is signed by a revoked key, and no later entry by a valid key follows it"
        self.faults += [ChainFault(seq, "untrusted key", detail) for seq in self.pending]
        self.pending.clear()


def verify_chain(rows: Iterable[LedgerRow], trusted_keys: KeyRing, checkpoint: Head | None = None) -> Chain:
    """Check a whole ledger, in the order of its numbers; without a checkpoint its end is not checked."""
    state = _State()
    for row in rows:
        state.count += 1
        found = len(state.faults)
        _link(state, row)
        entry = _content(state, row)
        if len(state.faults) > found:
            # the chain is broken here, so a later signature cannot cover the entries before
            state.give_up()
        if checkpoint is not None and row.seq == checkpoint.seq and row.hash != checkpoint.hash:
            known = f"its hash in the checkpoint is {checkpoint.hash[:16]}, here it is {row.hash[:16]}"
            state.note(row.seq, "rewritten", known)
        if entry is not None:
            _signature(state, row, entry, trusted_keys)
        state.seen[row.hash] = row.seq
        state.head = Head(row.seq, row.hash)
    state.give_up()
    if checkpoint is not None and state.next <= checkpoint.seq:
        state.note(state.next, "cut", f"the ledger ends here, the checkpoint says {checkpoint.seq} entries")
    faults = tuple(sorted(state.faults, key=lambda fault: fault.seq))
    return Chain(state.count, state.head, faults, tuple(state.held))


def _link(state: _State, row: LedgerRow) -> None:
    """Check that the number of a row follows the number before it."""
    if row.seq > state.next:
        missing = f"{state.next}" if row.seq == state.next + 1 else f"{state.next} to {row.seq - 1}"
        state.note(state.next, "cut", f"missing: {missing}")
    elif row.seq == state.head.seq:
        state.note(row.seq, "forked", "two entries have this number")
    elif row.seq < state.next:
        state.note(row.seq, "reordered", f"it comes after entry {state.head.seq}")
    # never backwards: after a reordered entry, the numbers in between are not missing
    state.next = max(state.next, row.seq + 1)


def _content(state: _State, row: LedgerRow) -> LedgerEntry | None:
    """Return the entry of a row; check it against its hash and against the entry before it."""
    try:
        entry = read_entry(row.entry)
    except AttestationError as error:
        state.note(row.seq, "edited", str(error))
        return None
    if entry.hash != row.hash:
        detail = f"the hash of its text is {entry.hash[:16]}, the stored hash is {row.hash[:16]}"
        state.note(row.seq, "edited", detail)
    if entry.seq != row.seq:
        state.note(row.seq, "reordered", f"its text says that it is entry {entry.seq}")
    at = moment(entry.at, "at")
    # behind a gap or a repeated number, the entry that this one continues is not here to be compared
    if row.seq == state.head.seq + 1:
        continued = 0 if entry.prev == NOTHING else state.seen.get(entry.prev, state.head.seq)
        if entry.prev != state.head.hash and continued != state.head.seq:
            state.note(row.seq, "forked", f"it continues entry {continued}, not entry {state.head.seq}")
        elif entry.prev != state.head.hash:
            detail = f"it was written after another entry {state.head.seq} than this ledger has"
            state.note(row.seq, "rewritten", detail)
        if state.at is not None and at < state.at:
            state.note(row.seq, "reordered", f"it is dated {entry.at}, before the entry before it")
    state.at = at
    return entry


def _signature(state: _State, row: LedgerRow, entry: LedgerEntry, trusted_keys: KeyRing) -> None:
    """Check that the row's envelope contains this entry, signed by a key that was valid for the ledger at that time."""
    try:
        verify(envelope_of(row), trusted_keys, "ledger", recorded_at=entry.at)
    except AttestationError as error:
        if error.reason == "revoked":
            state.pending.append(row.seq)
        elif error.reason in ("unknown key", "wrong role", "retired"):
            state.note(row.seq, "untrusted key", str(error))
        else:
            state.note(row.seq, "bad signature", str(error))
    else:
        # the hash of this entry covers all entries before it, whoever signed them
        state.held += state.pending
        state.pending.clear()
