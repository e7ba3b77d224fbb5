from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.registry.ledger.chain import verify_chain
from pipelines.registry.ledger.entry import NOTHING, Head, LedgerRow, read_entry, sign_entry
from pipelines.registry.signing import key_folder
from pipelines.registry.signing.keys import KeyRing, load_trusted_keys
from tests.support import proof

LENGTH = 8


@pytest.fixture(scope="module")
def rows(ring: KeyRing) -> list[LedgerRow]:
    return proof.chain(ring, LENGTH)


@pytest.fixture(scope="module")
def checkpoint(rows: list[LedgerRow]) -> Head:
    return proof.head_of(rows)


def _places(found: Sequence[LedgerRow], ring: KeyRing, checkpoint: Head | None = None) -> list[tuple[int, str]]:
    return [(fault.seq, fault.trouble) for fault in verify_chain(found, ring, checkpoint).faults]


def test_a_whole_ledger_has_no_fault(rows: list[LedgerRow], ring: KeyRing, checkpoint: Head) -> None:
    chain = verify_chain(rows, ring, checkpoint)
    assert (chain.whole, chain.entries, chain.head, chain.by_revoked_key) == (True, LENGTH, checkpoint, ())
    assert verify_chain([], ring).whole
    assert verify_chain(iter(rows), ring, Head(2, rows[1].hash)).whole, "a checkpoint may be behind"


def _swap(rows: list[LedgerRow], one: int, other: int) -> list[LedgerRow]:
    rows[one], rows[other] = rows[other], rows[one]
    return rows


def _edited(row: LedgerRow, **over: object) -> LedgerRow:
    """A row whose text says something else, with a hash that fits, and the old signature."""
    entry = replace(read_entry(row.entry), **over)
    return replace(row, entry=entry.text, hash=entry.hash)


def _resigned(row: LedgerRow, ring: KeyRing, **over: object) -> LedgerRow:
    return sign_entry(replace(read_entry(row.entry), **over), ring)


Attack = Callable[[list[LedgerRow], KeyRing], list[LedgerRow]]
ATTACKS: list[tuple[str, Attack, list[tuple[int, str]]]] = [
    ("one cut out", lambda r, k: r[:3] + r[4:], [(4, "cut")]),
    ("three cut out", lambda r, k: r[:2] + r[5:], [(3, "cut")]),
    ("the first cut off", lambda r, k: r[1:], [(1, "cut")]),
    ("the end cut off", lambda r, k: r[:6], [(7, "cut")]),
    ("everything cut off", lambda r, k: [], [(1, "cut")]),
    ("text edited", lambda r, k: [*r[:4], replace(r[4], entry=_edited(r[4], reason="x").entry), *r[5:]],
     [(5, "edited"), (5, "bad signature")]),
    ("hash edited", lambda r, k: [*r[:4], replace(r[4], hash="0" * 64), *r[5:]], [(5, "edited"), (6, "rewritten")]),
    ("text and hash edited", lambda r, k: [*r[:4], _edited(r[4], after=9), *r[5:]],
     [(5, "bad signature"), (6, "rewritten")]),
    ("edited and signed again", lambda r, k: [*r[:4], _resigned(r[4], k, after=9), *r[5:]], [(6, "rewritten")]),
    ("the last edited and signed again", lambda r, k: [*r[:7], _resigned(r[7], k, after=9)], [(8, "rewritten")]),
    ("all written anew", lambda r, k: proof.chain(k, 7, [_resigned(r[0], k, reason="x")]), [(8, "rewritten")]),
    ("two swapped", lambda r, k: _swap(r, 3, 4),
     [(4, "cut"), (4, "reordered")]),
    ("one twice", lambda r, k: [*r[:4], r[3], *r[4:]], [(4, "forked")]),
    ("a second with its number", lambda r, k: [*r[:4], _resigned(r[3], k, after=9), *r[4:]],
     [(4, "forked"), (5, "rewritten")]),
    ("a fork in place of the chain", lambda r, k: [*r[:5], _resigned(r[5], k, prev=r[2].hash), *r[6:]],
     [(6, "forked"), (7, "rewritten")]),
    ("begun anew in the middle", lambda r, k: [*r[:5], _resigned(r[5], k, prev=NOTHING), *r[6:]],
     [(6, "forked"), (7, "rewritten")]),
    ("no signature", lambda r, k: [*r[:4], replace(r[4], envelope=""), *r[5:]], [(5, "bad signature")]),
    ("the signature of another", lambda r, k: [*r[:4], replace(r[4], envelope=r[3].envelope), *r[5:]],
     [(5, "bad signature")]),
    ("an envelope with spaces", lambda r, k: [*r[:4], replace(r[4], envelope=r[4].envelope + " "), *r[5:]],
     [(5, "bad signature")]),
    ("dated back", lambda r, k: proof.chain(k, 3, [*r[:4], _resigned(r[4], k, at="2020-01-01T00:00:00+00:00")]),
     [(5, "reordered"), (8, "rewritten")]),
    ("text that is no entry", lambda r, k: [*r[:4], replace(r[4], entry="{}"), *r[5:]], [(5, "edited")]),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "places"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_an_attack_is_found_at_its_place(
    rows: list[LedgerRow], ring: KeyRing, checkpoint: Head, attack: Attack, places: list[tuple[int, str]]
) -> None:
    assert _places(attack(list(rows), ring), ring, checkpoint) == places


def test_a_fault_says_where_and_what(rows: list[LedgerRow], ring: KeyRing, checkpoint: Head) -> None:
    faults = verify_chain(rows[:2] + rows[5:6], ring, checkpoint).faults
    assert str(faults[0]) == "entry 3: cut: missing: 3 to 5"
    assert str(faults[1]) == f"entry 7: cut: the ledger ends here, the checkpoint says {LENGTH} entries"


def test_each_fault_has_its_sentence(rows: list[LedgerRow], ring: KeyRing, checkpoint: Head) -> None:
    def details(found: list[LedgerRow], known: Head | None = None) -> list[str]:
        return [str(fault) for fault in verify_chain(found, ring, known).faults]

    first, second, third = rows[:3]
    other = _resigned(second, ring, after=9)
    assert details([first, third]) == ["entry 2: cut: missing: 2"]
    assert details([first, rows[3]]) == ["entry 2: cut: missing: 2 to 3"]
    assert details([first, first]) == ["entry 1: forked: two entries have this number"]
    assert details([first, second, first]) == ["entry 1: reordered: it comes after entry 2"]
    assert details([replace(first, hash="0" * 64)]) == [
        f"entry 1: edited: the hash of its text is {first.hash[:16]}, the stored hash is {'0' * 16}"
    ]
    (unreadable,) = details([replace(first, entry="{}")])
    assert re.match(r"entry 1: edited: .*(missing key|lacks a field)", unreadable, re.DOTALL), unreadable
    assert details([replace(first, seq=2)])[:2] == [
        "entry 1: cut: missing: 1",
        "entry 2: reordered: its text says that it is entry 1",
    ]
    early = _resigned(second, ring, at="2020-01-01T00:00:00+00:00")
    assert details([first, early]) == [
        "entry 2: reordered: it is dated 2020-01-01T00:00:00+00:00, before the entry before it"
    ]
    same_moment = _resigned(second, ring, at=read_entry(first.entry).at)
    assert details([first, same_moment]) == []
    assert details([first, second, _resigned(third, ring, prev=NOTHING)]) == [
        "entry 3: forked: it continues entry 0, not entry 2"
    ]
    assert details([first, other, third]) == [
        "entry 3: rewritten: it was written after another entry 2 than this ledger has"
    ]
    assert details([first, other], Head(2, second.hash)) == [
        f"entry 2: rewritten: its hash in the checkpoint is {second.hash[:16]}, here it is {other.hash[:16]}"
    ]
    assert details([first], Head(2, second.hash)) == [
        "entry 2: cut: the ledger ends here, the checkpoint says 2 entries"
    ]
    (unsigned,) = details([replace(first, envelope="")])
    assert unsigned.startswith("entry 1: bad signature: ")
    assert len(unsigned) > len("entry 1: bad signature: None")
    revoked = KeyRing(tuple(replace(key, revoked="2025-01-01T00:00:00+00:00") for key in ring.keys), ring.folder)
    assert [str(fault) for fault in verify_chain([first], revoked).faults] == [
        "entry 1: untrusted key: it is signed by a revoked key, and no later entry by a valid key follows it"
    ]


@settings(max_examples=200)
@given(data=st.data())
def test_any_flipped_bit_is_found_in_its_entry(rows: list[LedgerRow], ring: KeyRing, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, LENGTH - 1))
    column = data.draw(st.sampled_from(["entry", "hash", "envelope"]))
    text = getattr(rows[place], column).encode()
    bit = data.draw(st.integers(0, 8 * len(text) - 1).filter(lambda bit: bit % 8 != 7))  # SQL text stays UTF-8
    flipped = bytearray(text)
    flipped[bit // 8] ^= 1 << bit % 8
    altered = [*rows]
    altered[place] = replace(rows[place], **{column: flipped.decode(errors="replace")})
    faults = verify_chain(altered, ring, proof.head_of(rows)).faults
    assert faults[0].seq == rows[place].seq


@given(data=st.data())
def test_any_other_order_or_subset_is_found(rows: list[LedgerRow], ring: KeyRing, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(LENGTH)), max_size=LENGTH + 2))
    found = verify_chain([rows[n] for n in chosen], ring, proof.head_of(rows))
    assert found.whole == (chosen == list(range(LENGTH)))


def test_a_key_of_another_role_signs_no_entry(rows: list[LedgerRow], ring: KeyRing, tmp_path: Path) -> None:
    stranger = sign_entry(proof.entry(proof.head_of(rows)), proof.ring(tmp_path))
    assert _places([*rows, stranger], ring) == [(9, "untrusted key")]
    narrow = replace(ring.active("ledger")[0], roles=("lineage",))
    assert {place for _, place in _places(rows, KeyRing((narrow,), ring.folder))} == {"untrusted key"}


def test_rotation_keeps_the_ledger_whole(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    rows = proof.chain(ring, 3)
    key_folder.rotate_key(ring.folder, "ledger")
    ring = load_trusted_keys(ring.folder)
    assert verify_chain(proof.chain(ring, 3, rows), ring).whole


def test_a_retired_key_signs_no_entry_after_its_end(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    entry = proof.entry(Head(), at="2999-01-01T00:00:00+00:00")
    row = sign_entry(entry, ring)
    key_folder.rotate_key(ring.folder, "ledger")
    assert _places([row], load_trusted_keys(ring.folder)) == [(1, "untrusted key")]


def test_what_a_revoked_key_signed_is_held_by_a_later_good_entry_only(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    rows = proof.chain(ring, 3)
    key_folder.revoke_key(ring.folder, "ledger")
    key_folder.new_key(ring.folder, "ledger", ("ledger",))
    ring = load_trusted_keys(ring.folder)
    assert _places(rows, ring) == [(n, "untrusted key") for n in (1, 2, 3)]
    held = verify_chain(proof.chain(ring, 1, rows), ring)
    assert (held.whole, held.by_revoked_key) == (True, (1, 2, 3))
    after_a_cut = verify_chain([*rows[:1], *proof.chain(ring, 1, rows)[2:]], ring)
    assert [(fault.seq, fault.trouble) for fault in after_a_cut.faults] == [(1, "untrusted key"), (2, "cut")]
