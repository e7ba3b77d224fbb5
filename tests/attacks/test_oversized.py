"""Attacks whose record would spoil the ledger, or whose size or spelling would crash the server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.registry.signing.envelope import sign
from tests.support.contest import CHAMPION, UNGATED, Contest
from tests.support.database_snapshot import check_snapshot, read_snapshot
from tests.support.versions_by_hand import API, ELP, lineage_of

pytestmark = pytest.mark.both_databases

_MILLIONS = "x" * 5_000_000
_DIGITS = "9" * 5000


def _check_ledger(contest: Contest) -> None:
    """Check that the newest entry is short, and that the whole ledger still verifies."""
    snapshot = read_snapshot(contest.server)
    entry = snapshot.entries[-1]
    assert entry.seq > contest.mark
    assert (entry.event, len(entry.reason) <= 2000) == ("refused", True)
    chain = check_snapshot(contest.server, snapshot)
    assert chain.whole, [str(fault) for fault in chain.faults]


@pytest.mark.parametrize(
    ("route", "values", "sentence"),
    [
        ("model-versions/set-tag", {"version": "1", "key": "elp." + _MILLIONS, "value": "1"}, "is not changed by hand"),
        ("registered-models/create", {"name": "elp." + _MILLIONS}, "looks like a slot's model and is none"),
        pytest.param(
            *("registered-models/rename", {"new_name": _MILLIONS}, "a slot's model keeps its name"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["tag", "model", "rename"],
)
def test_a_refusal_that_repeats_megabytes(contest: Contest, route: str, values: dict[str, Any], sentence: str) -> None:
    """An entry over the format's limit would be signed, and every later check would report it as edited."""
    contest.rest("POST", f"{API}/{route}", {"name": contest.model, **values}).must_be(403, sentence)
    _check_ledger(contest)


def test_a_key_id_that_has_no_utf8(contest: Contest) -> None:
    values = json.loads(sign(lineage_of(contest.made[UNGATED]).payload, contest.keys, "lineage").text)
    values["signatures"][0]["keyid"] = "\ud800"
    body = {"model": contest.model, "version": UNGATED, "envelope": values}
    contest.rest("POST", f"{ELP}/statements", body).must_be(403, "the statement is not accepted: key")
    _check_ledger(contest)


def test_numbers_of_thousands_of_digits(contest: Contest) -> None:
    for answer in (
        contest.alias(_DIGITS),
        contest.ask("promote", version=_DIGITS),
        contest.rest("GET", f"{ELP}/ledger?after={_DIGITS}"),
    ):
        answer.must_be(400, "must be a whole number, got '9999")


@pytest.mark.parametrize("name", ["elp.plant-a.asr\0", "elp.\ud800.asr"], ids=ascii)
def test_a_model_that_no_database_can_name(contest: Contest, name: str) -> None:
    body = {"model": name, "version": CHAMPION, "envelope": "{}"}
    contest.rest("POST", f"{ELP}/statements", body).must_be(400, "model has control characters")
