from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import (
    MAX_ENTRY,
    NOTHING,
    Head,
    LedgerEntry,
    Principal,
    envelope_of,
    next_entry,
    read_entry,
    sign_entry,
)
from pipelines.registry.signing.canonical_json import canonical_json, sha256, utc_now
from pipelines.registry.signing.keys import KeyRing
from tests.support import proof


def test_an_entry_is_its_canonical_json_and_the_hash_of_it() -> None:
    entry = proof.entry(Head(), before=1, after=2, detail={"days": 7})
    values = json.loads(entry.text)
    assert values.keys() == {
        *("seq", "prev", "at", "event", "slot", "from", "to", "bundle", "who", "reason", "statements", "detail")
    }
    assert (values["from"], values["to"], values["prev"]) == (1, 2, NOTHING)
    assert entry.hash == sha256(canonical_json(values))
    assert read_entry(entry.text) == entry


def test_entries_follow_each_other_even_where_the_clock_went_back() -> None:
    fields = {"event": "gated", "slot": "", "before": None, "after": None, "bundle": "", "reason": ""}
    first = next_entry(Head(), "", **fields, principal=Principal("ann", True, ""))
    later = "2999-01-01T00:00:00.000000+00:00"
    second = next_entry(Head(first.seq, first.hash), later, **fields, principal=Principal("ann", True, ""))
    assert (first.seq, second.seq, second.prev, second.at) == (1, 2, first.hash, later)
    assert first.at <= utc_now()


def test_an_entry_that_could_not_be_read_again_is_not_signed(ring: KeyRing) -> None:
    sign_entry(proof.entry(Head(), reason="x" * (MAX_ENTRY - 1000)), ring)
    with pytest.raises(AttestationError, match=rf"a ledger entry \(.*\) has \d+ bytes, expected at most {MAX_ENTRY}"):
        sign_entry(proof.entry(Head(), reason="x" * MAX_ENTRY), ring)


def test_a_row_holds_the_entry_and_its_signature(ring: KeyRing) -> None:
    row = sign_entry(proof.entry(Head()), ring)
    assert envelope_of(row).payload == row.entry.encode()
    assert row.hash == sha256(row.entry.encode())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v.update(event="celebrated"), "event is 'celebrated'"),
        (lambda v: v.update(note=""), "unknown key note"),
        (lambda v: v.pop("reason"), "missing key reason"),
        (lambda v: v.pop("from"), "lacks a field"),
        (lambda v: v.update(seq="1"), "seq"),
        (lambda v: v.update(seq=0), "spellings that this format does not have"),
        (lambda v: v.update(to=True), "after"),
        (lambda v: v["who"].update(role="x"), "unknown key principal.role"),
        (lambda v: v["who"].update(login="yes"), "principal.login"),
        (lambda v: v.update(at="2026-01-01"), "has no offset from UTC"),
        (lambda v: v.update(before=1), "lacks a field|unknown|spellings"),
        (lambda v: v.update(statements={"a": 1}), "statements"),
    ],
)
def test_a_malformed_entry_is_refused(change: Callable[[Any], Any], sentence: str) -> None:
    values = json.loads(proof.entry(Head()).text)
    change(values)
    with pytest.raises(AttestationError, match=sentence):
        read_entry(canonical_json(values).decode())


def test_an_entry_in_another_spelling_is_refused() -> None:
    with pytest.raises(AttestationError, match="not canonical"):
        read_entry(json.dumps(json.loads(proof.entry(Head()).text)))


@given(reason=st.text(), slot=st.text(), detail=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_whatever_people_write_comes_back(reason: str, slot: str, detail: dict[str, Any]) -> None:
    entry = proof.entry(Head(), reason=reason, slot=slot, detail=detail)
    assert isinstance(entry, LedgerEntry)
    assert read_entry(entry.text) == entry


def test_a_detail_nested_beyond_reason_is_refused_without_a_crash() -> None:
    nested = '{"a":' * 490 + "1" + "}" * 490
    with pytest.raises(AttestationError, match="recursion"):
        read_entry(proof.entry(Head()).text.replace('"detail":{}', f'"detail":{nested}'))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "ledger entry is no JSON"), ("{}", "ledger entry"), ("[]", "ledger entry holds a list, expected an object")],
)
def test_a_refusal_names_the_ledger_entry(text: str, sentence: str) -> None:
    with pytest.raises(AttestationError, match=sentence):
        read_entry(text)


def test_a_refusal_names_the_field_and_the_record() -> None:
    values = json.loads(proof.entry(Head()).text)
    with pytest.raises(AttestationError, match="at: 'noon' is no ISO 8601 moment"):
        read_entry(canonical_json({**values, "at": "noon"}).decode())
    with pytest.raises(AttestationError, match="unknown one: ledger entry: "):
        read_entry(canonical_json({**values, "note": 1}).decode())
    with pytest.raises(AttestationError, match="at: 'noon' is no ISO 8601 moment"):
        next_entry(Head(), "noon")


def test_an_entry_of_exactly_the_largest_size_is_signed(ring: KeyRing) -> None:
    room = MAX_ENTRY - len(proof.entry(Head()).text.encode())
    assert len(sign_entry(proof.entry(Head(), reason="x" * room), ring).entry.encode()) == MAX_ENTRY
