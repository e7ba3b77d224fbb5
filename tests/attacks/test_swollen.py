"""Attempts that would spoil the ledger by what is written down of them, or that are answered by a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.registry.signing.envelope import sign
from tests.support.books import check_books, read_books
from tests.support.contest import CHAMPION, UNGATED, Contest
from tests.support.versions_by_hand import API, ELP, lineage_of

_MILLIONS = "x" * 5_000_000
_DIGITS = "9" * 5000


def _readable(contest: Contest) -> None:
    """What was recorded last is short, and the whole ledger still verifies."""
    books = read_books(contest.server)
    entry = books.entries[-1]
    assert entry.seq > contest.mark
    assert (entry.event, len(entry.reason) <= 2000) == ("refused", True)
    chain = check_books(contest.server, books)
    assert chain.whole, [str(fault) for fault in chain.faults]


@pytest.mark.parametrize(
    ("route", "values"),
    [
        ("model-versions/set-tag", {"name": "MODEL", "version": "1", "key": "elp." + _MILLIONS, "value": "1"}),
        ("registered-models/create", {"name": "elp." + _MILLIONS}),
        ("registered-models/rename", {"name": "MODEL", "new_name": _MILLIONS}),
    ],
    ids=["tag", "model", "rename"],
)
def test_a_refusal_that_repeats_megabytes(contest: Contest, route: str, values: dict[str, Any]) -> None:
    """An entry over the bound of the format would be signed, and read as edited ever after."""
    body = {name: contest.model if value == "MODEL" else value for name, value in values.items()}
    assert contest.rest("POST", f"{API}/{route}", body).status == 403
    _readable(contest)


def test_a_key_id_that_has_no_utf8(contest: Contest) -> None:
    values = json.loads(sign(lineage_of(contest.made[UNGATED]).payload, contest.keys, "lineage").text)
    values["signatures"][0]["keyid"] = "\ud800"
    body = {"model": contest.model, "version": UNGATED, "envelope": values}
    assert contest.rest("POST", f"{ELP}/statements", body).status == 403
    _readable(contest)


def test_numbers_of_thousands_of_digits(contest: Contest) -> None:
    assert contest.alias(_DIGITS).status == 400
    assert contest.ask("promote", version=_DIGITS).status == 400
    assert contest.rest("GET", f"{ELP}/ledger?after={_DIGITS}").status == 400


@pytest.mark.parametrize("name", ["elp.plant-a.asr\0", "elp.\ud800.asr"], ids=ascii)
def test_a_model_that_no_database_can_name(contest: Contest, name: str) -> None:
    body = {"model": name, "version": CHAMPION, "envelope": "{}"}
    assert contest.rest("POST", f"{ELP}/statements", body).status == 400
