"""The records of one adapter: its status, its tree, and the override by which it is champion."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from sqlite3 import Connection, connect
from typing import Any

import pytest

from pipelines.audit.adapter_records import AdapterRecords, find_records
from pipelines.audit.adapter_tree import adapter_tree
from pipelines.errors import RegistryError
from pipelines.registry.ledger.entry import Head, Principal
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.slot import Slot
from tests.support.audited import ASR, Ground
from tests.support.proof import BUNDLE, DETAILS, FINGERPRINT, entry, verdict

SINCE = "2026-01-01T00:00:00.000000+00:00"
OVERRIDDEN = {
    "event": "overridden",
    "before": 1,
    "after": 2,
    "principal": Principal("berta", True, ""),
    "reason": "the line does not run",
    "detail": {"asked by": "anna"},
}
ENDED = {"event": "override expired", "before": 2, "after": 1}
PROMOTED = {"event": "promoted", "before": None, "after": 2}


def _records(*changes: dict[str, Any], until: str | None = None) -> AdapterRecords:
    entries = tuple(entry(Head(number), **values) for number, values in enumerate(changes))
    period = ChampionPeriod(1, "plant-a/asr", 2, BUNDLE, SINCE, until, "", "", "")
    adapter = RegisteredAdapter("plant-a/asr", 2, BUNDLE, SINCE, *[""] * 7, (period,))
    return AdapterRecords(Slot("plant-a", "asr"), adapter, None, None, (), entries)


def test_an_override_names_who_requested_and_who_approved_it() -> None:
    assert _records(OVERRIDDEN).override == (
        "since 2026-01-01 00:00:00, requested by anna, approved by berta: the line does not run"
    )


@pytest.mark.parametrize(
    "records",
    [_records(PROMOTED), _records(OVERRIDDEN, ENDED, until=SINCE), _records(OVERRIDDEN, ENDED, PROMOTED)],
    ids=["promoted", "ended", "promoted later"],
)
def test_an_adapter_that_serves_without_an_override_names_none(records: AdapterRecords) -> None:
    assert records.override == ""


def test_a_verdict_shows_its_reasons_and_the_numbers_of_the_policy() -> None:
    details = replace(DETAILS, reasons=("worse by 3 points", "too loud"), margin=0.02, limit=0.3)
    judged = verdict(outcome="failed", details=details)
    with closing(connect(":memory:")) as empty:
        found = adapter_tree(empty, replace(_records(PROMOTED), verdict=judged))
    branch = next(fact for fact in found.children if fact.name == "verdict")
    assert [fact.value for fact in branch.children if fact.name == "why"] == ["worse by 3 points", "too loud"]
    notes = {fact.name: fact.note for fact in branch.children}
    assert notes["WER"] == "limit 30.00 %"
    assert notes["difference"] == "allowed +2.00 points"


@pytest.mark.integration
def test_the_tree_goes_from_the_champion_to_clips_and_backbone(index: Connection, ground: Ground) -> None:
    found = adapter_tree(index, find_records(ground.records, ASR, None))
    facts = {fact.name: fact for fact in found.walk()}
    assert (found.value, facts["status"].value) == ("plant-a/asr v2", "champion")
    assert facts["dataset"].value == "data/plant-a/asr/v2"
    assert len([fact for fact in found.walk() if fact.name == "shard"]) == 2
    assert re.fullmatch("[0-9a-f]{64}", next(fact.value for fact in found.walk() if fact.name == "clip"))
    assert facts["fingerprint"].value == FINGERPRINT


@pytest.mark.integration
def test_a_version_that_the_ledger_does_not_have_is_refused(ground: Ground) -> None:
    message = "plant-a/asr v9 is not in the ledger of memory; list its versions with: elp versions list plant-a/asr"
    with pytest.raises(RegistryError, match=message):
        find_records(ground.records, ASR, 9)
