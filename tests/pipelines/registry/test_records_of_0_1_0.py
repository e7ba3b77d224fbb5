"""Signed and written records of release 0.1.0, taken from a workspace that it made: they are read for ever."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.bundle import BundleManifest
from elp_core.errors import ConfigError
from pipelines.registry.description import verdict_headline, verdict_rows
from pipelines.registry.ledger.chain import verify_chain
from pipelines.registry.ledger.entry import LedgerRow, read_entry
from pipelines.registry.ledger.ledger_checkpoint import read_ledger_checkpoint
from pipelines.registry.lineage import Lineage
from pipelines.registry.signing.keys import KeyRing, read_keys
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.registry.verdict_statement import NamedOutcome, VerdictDetails, VerdictStatement, stored_verdict
from pipelines.training.provenance import lineage_statement

GOLDENS = Path("tests/goldens")
RECORDS = GOLDENS / "statements"


@pytest.mark.parametrize("name", ["lineage", "verdict-first", "verdict-compared", "verdict-failed"])
def test_a_statement_is_parsed_to_the_same_bytes(name: str) -> None:
    payload = (RECORDS / f"0.1.0-{name}.json").read_bytes()
    assert parse_statement(payload).payload == payload


def test_the_ledger_has_no_fault_and_its_entries_keep_their_bytes() -> None:
    lines = (RECORDS / "0.1.0-ledger.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [LedgerRow(**json.loads(line)) for line in lines]
    trusted = KeyRing(read_keys((RECORDS / "0.1.0-trusted.json").read_bytes(), "0.1.0"), RECORDS)
    checked = verify_chain(rows, trusted, read_ledger_checkpoint(RECORDS / "0.1.0-ledger-head.json"))
    assert (checked.entries, checked.faults) == (18, ())
    assert [read_entry(row.entry).text for row in rows] == [row.entry for row in rows]


def test_a_lineage_file_is_parsed_whole_and_gives_the_statement_that_was_signed() -> None:
    text = (RECORDS / "0.1.0-lineage-file.json").read_bytes()
    values = json.loads(text)
    lineage = Lineage.from_json(values)
    assert lineage.to_json() == values
    signed = parse_statement((RECORDS / "0.1.0-lineage.json").read_bytes())
    assert isinstance(signed, LineageStatement)
    assert signed.files["lineage.json"] == hashlib.sha256(text).hexdigest()
    manifest = BundleManifest.__new__(BundleManifest)
    vars(manifest).update(digest=signed.bundle, files=signed.files, lineage=values)
    assert lineage_statement(signed.model, manifest).payload == signed.payload


def test_what_a_lineage_lacks_is_empty_and_what_is_not_known_is_ignored() -> None:
    for folder in sorted(GOLDENS.glob("bundles/*/")):
        values = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
        lineage = Lineage.from_json({**values, "later": 1, "dataset": {"tag": "data/a/asr/v1", "later": 2}})
        assert (lineage.slot, lineage.dataset.tag, lineage.code.dirty) == (values["slot"], "data/a/asr/v1", None)


def test_a_lineage_with_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.clips is 'many', expected int"):
        Lineage.from_json({"dataset": {"clips": "many"}})


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("first", VerdictDetails(None, 1.5, 2.0, 18, False, (), (), ())),
        ("compared", VerdictDetails((0.3760922, 0.5185012), 1.5, 2.0, 18, False, (), (), ())),
        ("failed", VerdictDetails(None, 0.02, 0.3, 4, False, (), (), ())),
    ],
)
def test_the_server_writes_the_texts_that_release_0_1_0_signed(name: str, details: VerdictDetails) -> None:
    old = parse_statement((RECORDS / f"0.1.0-verdict-{name}.json").read_bytes())
    assert isinstance(old, VerdictStatement)
    assert old.page is not None
    shown = [row for row in old.page.rows if row[0] == "why" or row[0].startswith("condition ")]
    slices = tuple(NamedOutcome(row[0].removeprefix("condition "), row[1]) for row in shown if row[0] != "why")
    reasons = tuple(text for label, text in shown if label == "why")
    new = replace(old, page=None, details=replace(details, slices=slices, reasons=reasons))
    assert verdict_headline(new) == verdict_headline(old) == old.page.headline
    assert tuple(verdict_rows(new)) == tuple(verdict_rows(old)) == old.page.rows
    assert parse_statement(new.payload) == new
    assert [stored_verdict(one.payload).payload for one in (old, new)] == [old.payload, new.payload]
    assert (b"headline" in new.payload, b"rows" in new.payload) == (False, False)
