"""Setting the alias by hand: every route, every spelling, every encoding."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest

ROUTE = "2.0/mlflow/registered-models/alias"
JSON = {"Content-Type": "application/json"}
NEVER_GATED = (403, "was never gated; gate it: elp gate")
NOT_FOUND = (404, "not found")
TYPE = (400, "for parameter 'version' supplied:  Hint: Value was of type")
MISSING = (400, "Missing value for required parameter 'version'")
NUMBER = (400, "Parameter 'version' must be a whole number, got")
CRASH = (500, "Internal Server Error")
"""MLflow's own parser fails on such a body, before any store is asked."""


@pytest.mark.parametrize(
    ("prefix", "version", "sentence"),
    [
        ("api", UNGATED, "v5 was never gated; gate it: elp gate"),
        ("ajax-api", UNGATED, "v5 was never gated; gate it: elp gate"),
        ("api", FAILED, "v4: the gate's verdict is failed: "),
        ("ajax-api", OUTDATED, "v6 passed against v1"),
    ],
)
def test_alias_on_a_version_without_the_verdict(contest: Contest, prefix: str, version: int, sentence: str) -> None:
    contest.refused(contest.alias(version, prefix=prefix), sentence, "elp ")


def test_alias_on_a_version_that_does_not_exist(contest: Contest) -> None:
    contest.alias(99).must_be(404, "version=99) not found")


@pytest.mark.parametrize(
    ("version", "status", "sentence"),
    [
        *((version, *TYPE) for version in (5, 5.0, True, [5], {"version": 5}, 1e400)),
        *((version, *MISSING) for version in (None, "")),
        *((version, *NUMBER) for version in ("+5", " 5", "5 ", "٥", "５", "0_5", "5\x00")),
        ("05", *NEVER_GATED),
    ],
    ids=ascii,
)
def test_alias_with_the_version_spelled_oddly(contest: Contest, version: object, status: int, sentence: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": version}
    contest.rest("POST", f"/api/{ROUTE}", values).must_be(status, sentence)


def test_alias_that_only_looks_like_champion_or_challenger(contest: Contest) -> None:
    spellings = (
        "Champion",
        "CHAMPION",
        "ｃhampion",
        "champion\n",
        "ćhampion",
        "сhampion",
        "champı̇on",
        "cham\u00adpion",
    )
    for alias in (*spellings, "Challenger"):
        contest.refused(contest.alias(UNGATED, alias), f"the alias {alias!r} of", "could be taken for champion or")
    contest.refused(contest.alias(UNGATED, "challenger"), "follows the gate's verdicts; gate one: elp gate")


@pytest.mark.parametrize(
    ("prefix", "alias", "sentence"),
    [
        ("api", "champion", "a slot loses its champion by: elp retire"),
        ("ajax-api", "challenger", "it follows the gate's"),
    ],
)
def test_alias_deleted(contest: Contest, prefix: str, alias: str, sentence: str) -> None:
    target = f"/{prefix}/{ROUTE}"
    contest.refused(contest.rest("DELETE", target, {"name": contest.model, "alias": alias}), sentence)
    in_query = contest.rest("DELETE", f"{target}?name={contest.model}&alias={alias}")
    in_query.must_be(400, "Missing value for required parameter 'name'")


@pytest.mark.parametrize(
    ("target", "status", "sentence"),
    [
        (f"/api//{ROUTE}", 308, "You should be redirected automatically"),
        (f"//api/{ROUTE}", *NEVER_GATED),
        (f"/api/{ROUTE}?", *NEVER_GATED),
        ("/api/2.0/mlflow/registered-models%2Falias", *NEVER_GATED),
        ("/%61pi/2.0/mlflow/registered-models/%61lias", *NEVER_GATED),
        (f"/api/{ROUTE}/", 404, "Not Found"),
        (f"/api/./{ROUTE}", 404, "Not Found"),
        (f"/api/x/../{ROUTE}", 404, "Not Found"),
        (f"/api/{ROUTE};x=1", 404, "Not Found"),
        (f"/api/{ROUTE}%00", 404, "Not Found"),
        (f"/api/{ROUTE}%2f", 404, "Not Found"),
        ("/API/2.0/MLFLOW/registered-models/alias", 404, "Not Found"),
        ("/ajax-api/3.0/mlflow/registered-models/alias", 404, "Not Found"),
        ("/api/2.0/preview/mlflow/registered-models/alias", 404, "Not Found"),
        (f"http://127.0.0.1/api/{ROUTE}", 404, "Not Found"),
    ],
)
def test_alias_by_another_path(contest: Contest, target: str, status: int, sentence: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    contest.rest("POST", target, values).must_be(status, sentence)


ENCODINGS: dict[str, tuple[Mapping[str, str], tuple[int, str]]] = {
    "no content type": ({}, (400, "Content-Type header is missing")),
    "text/plain": ({"Content-Type": "text/plain"}, (400, "Content-Type must be one of ['application/json']")),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, (400, "Content-Type must be one of")),
    "utf-16": (JSON, NEVER_GATED),
    "utf-16 named": ({"Content-Type": "application/json; charset=utf-16"}, NEVER_GATED),
    "utf-32": (JSON, NEVER_GATED),
    "byte order mark": (JSON, NEVER_GATED),
    "JSON in a JSON string": (JSON, NEVER_GATED),
    "JSON in a string twice": (JSON, CRASH),
    "a list": (JSON, CRASH),
    "escaped letters": (JSON, NEVER_GATED),
    "NaN in another field": (JSON, NEVER_GATED),
    "method override": ({**JSON, "X-HTTP-Method-Override": "DELETE"}, NEVER_GATED),
}
"""Headers of each spelling of a request for the alias, and the answer."""


def _encoded(text: str, encoding: str) -> bytes:
    bodies = {
        "utf-16": text.encode("utf-16"),
        "utf-16 named": text.encode("utf-16"),
        "utf-32": text.encode("utf-32"),
        "byte order mark": text.encode("utf-8-sig"),
        "JSON in a JSON string": json.dumps(text).encode(),
        "JSON in a string twice": json.dumps(json.dumps(text)).encode(),
        "a list": f"[{text}]".encode(),
        "escaped letters": text.replace("champion", r"\u0063hampion").encode(),
        "NaN in another field": text.replace("}", ', "x": NaN}').encode(),
    }
    return bodies.get(encoding, text.encode())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_alias_in_another_encoding(contest: Contest, encoding: str) -> None:
    text = json.dumps({"name": contest.model, "alias": "champion", "version": str(UNGATED)})
    headers, expected = ENCODINGS[encoding]
    contest.rest("POST", f"/api/{ROUTE}", body=_encoded(text, encoding), headers=headers).must_be(*expected)


@pytest.mark.parametrize("first", [PASSED, FORMER], ids=["passed first", "former first"])
def test_the_last_of_two_equal_keys_is_the_version_that_counts(contest: Contest, first: int) -> None:
    text = f'{{"name": "{contest.model}", "alias": "champion", "version": "{first}", "version": "{UNGATED}"}}'
    contest.rest("POST", f"/api/{ROUTE}", body=text.encode(), headers=JSON).must_be(*NEVER_GATED)


@pytest.mark.parametrize(
    ("method", "status"),
    [("PUT", 405), ("PATCH", 405), ("TRACE", 405), ("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("post", 403)],
)
def test_alias_by_another_method(contest: Contest, method: str, status: int) -> None:
    # GET and HEAD read the alias
    target = f"/api/{ROUTE}?name={contest.model}&alias=champion"
    contest.rest(method, target, {"name": contest.model, "alias": "champion", "version": str(UNGATED)}).must_be(status)


def test_an_alias_that_does_not_move_appends_no_entry(contest: Contest) -> None:
    contest.alias(CHAMPION).must_be(200)
    assert contest.ledger(contest.mark) == []
