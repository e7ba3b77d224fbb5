"""Setting the alias by hand: every route, every spelling, every encoding."""

from __future__ import annotations

import json

import pytest

from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest
from tests.support.rest import Answer

ROUTE = "2.0/mlflow/registered-models/alias"
UNGATED_SPELLINGS = (
    5,
    5.0,
    "05",
    "+5",
    " 5",
    "5 ",
    "٥",
    "５",
    "0_5",
    True,
    [5],
    {"version": 5},
    None,
    "",
    "5\x00",
    1e400,
)
CHAMPION_SPELLINGS = (
    "Champion",
    "CHAMPION",
    "ｃhampion",
    "champion\n",
    "ćhampion",
    "сhampion",
    "champı̇on",
    "cham\u00adpion",
)


@pytest.mark.parametrize("prefix", ["api", "ajax-api"])
@pytest.mark.parametrize(
    ("version", "why"),
    [(UNGATED, "never gated"), (FAILED, "failed"), (OUTDATED, "passed against v1")],
    ids=["ungated", "failed", "outdated"],
)
def test_alias_on_a_version_without_the_verdict(contest: Contest, prefix: str, version: int, why: str) -> None:
    sentence = contest.refused(contest.alias(version, prefix=prefix), why)
    assert "elp " in sentence


def test_alias_on_a_version_that_does_not_exist(contest: Contest) -> None:
    assert contest.alias(99).status in (400, 403, 404)


@pytest.mark.parametrize("version", UNGATED_SPELLINGS, ids=ascii)
def test_alias_with_the_version_spelled_oddly(contest: Contest, version: object) -> None:
    values = {"name": contest.model, "alias": "champion", "version": version}
    assert _no(contest.rest("POST", f"/api/{ROUTE}", values))


@pytest.mark.parametrize("alias", CHAMPION_SPELLINGS, ids=ascii)
def test_alias_that_only_looks_like_champion(contest: Contest, alias: str) -> None:
    assert _no(contest.alias(UNGATED, alias))


@pytest.mark.parametrize("alias", ["challenger", "Challenger"])
def test_challenger_set_by_hand(contest: Contest, alias: str) -> None:
    contest.refused(contest.alias(UNGATED, alias))


@pytest.mark.parametrize("alias", ["champion", "challenger"])
@pytest.mark.parametrize("prefix", ["api", "ajax-api"])
def test_alias_deleted(contest: Contest, prefix: str, alias: str) -> None:
    target = f"/{prefix}/{ROUTE}"
    contest.refused(contest.rest("DELETE", target, {"name": contest.model, "alias": alias}))
    assert _no(contest.rest("DELETE", f"{target}?name={contest.model}&alias={alias}"))


@pytest.mark.parametrize(
    "target",
    [
        f"/api//{ROUTE}",
        f"//api/{ROUTE}",
        f"/api/{ROUTE}/",
        f"/api/./{ROUTE}",
        f"/api/x/../{ROUTE}",
        f"/api/{ROUTE}?",
        f"/api/{ROUTE};x=1",
        f"/api/{ROUTE}%00",
        f"/api/{ROUTE}%2f",
        "/api/2.0/mlflow/registered-models%2Falias",
        "/%61pi/2.0/mlflow/registered-models/%61lias",
        "/API/2.0/MLFLOW/registered-models/alias",
        "/ajax-api/3.0/mlflow/registered-models/alias",
        "/api/2.0/preview/mlflow/registered-models/alias",
        f"http://127.0.0.1/api/{ROUTE}",
    ],
)
def test_alias_by_another_path(contest: Contest, target: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    assert _no(contest.rest("POST", target, values))


def _body(contest: Contest, version: int = UNGATED) -> str:
    return json.dumps({"name": contest.model, "alias": "champion", "version": str(version)})


ENCODINGS = {
    "no content type": lambda text: (text.encode(), {}),
    "text/plain": lambda text: (text.encode(), {"Content-Type": "text/plain"}),
    "a form": lambda text: (text.encode(), {"Content-Type": "application/x-www-form-urlencoded"}),
    "utf-16": lambda text: (text.encode("utf-16"), {"Content-Type": "application/json"}),
    "utf-16 named": lambda text: (text.encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"}),
    "utf-32": lambda text: (text.encode("utf-32"), {"Content-Type": "application/json"}),
    "byte order mark": lambda text: (text.encode("utf-8-sig"), {"Content-Type": "application/json"}),
    "JSON in a JSON string": lambda text: (json.dumps(text).encode(), {"Content-Type": "application/json"}),
    "JSON in a string twice": lambda text: (
        json.dumps(json.dumps(text)).encode(),
        {"Content-Type": "application/json"},
    ),
    "a list": lambda text: (f"[{text}]".encode(), {"Content-Type": "application/json"}),
    "escaped letters": lambda text: (
        text.replace("champion", r"\u0063hampion").encode(),
        {"Content-Type": "application/json"},
    ),
    "NaN beside it": lambda text: (text.replace("}", ', "x": NaN}').encode(), {"Content-Type": "application/json"}),
    "method override": lambda text: (
        text.encode(),
        {"Content-Type": "application/json", "X-HTTP-Method-Override": "DELETE"},
    ),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_alias_in_another_encoding(contest: Contest, encoding: str) -> None:
    body, headers = ENCODINGS[encoding](_body(contest))
    assert _no(contest.rest("POST", f"/api/{ROUTE}", body=body, headers=headers))


@pytest.mark.parametrize("first", [PASSED, FORMER], ids=["passed first", "former first"])
def test_a_key_that_stands_twice(contest: Contest, first: int) -> None:
    text = f'{{"name": "{contest.model}", "alias": "champion", "version": "{first}", "version": "{UNGATED}"}}'
    headers = {"Content-Type": "application/json"}
    assert _no(contest.rest("POST", f"/api/{ROUTE}", body=text.encode(), headers=headers))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "GET", "HEAD", "OPTIONS", "TRACE", "post"])
def test_alias_by_another_method(contest: Contest, method: str) -> None:
    contest.rest(method, f"/api/{ROUTE}", {"name": contest.model, "alias": "champion", "version": str(UNGATED)})


def test_alias_that_stays_where_it_is_writes_nothing(contest: Contest) -> None:
    assert contest.alias(CHAMPION).status == 200
    assert contest.ledger(contest.mark) == []


def _no(answer: Answer) -> bool:
    """Not done: refused, not understood, or sent on to the plain path."""
    return answer.status >= 300
