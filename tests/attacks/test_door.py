"""Our own routes, asked for what they must not do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest
from tests.support.versions_by_hand import ELP, gate, promote, register


@pytest.mark.parametrize("version", [UNGATED, FAILED, OUTDATED])
@pytest.mark.parametrize("more", [{}, {"again": True}, {"override": True}, {"force": True}], ids=str)
def test_promote_without_the_verdict(contest: Contest, version: int, more: dict[str, Any]) -> None:
    answer = contest.ask("promote", version=version, **more)
    assert answer.status in (400, 403), answer.text


@pytest.mark.parametrize("version", [PASSED, UNGATED, FAILED, OUTDATED])
def test_roll_back_to_a_version_that_never_was_champion(contest: Contest, version: int) -> None:
    contest.refused(contest.ask("rollback", version=version), "never champion")


@pytest.mark.parametrize("version", [CHAMPION, PASSED])
def test_promotion_of_what_was_rolled_back(own_contest: Contest, version: int) -> None:
    contest = own_contest
    assert contest.ask("rollback", version=FORMER).status == 200
    contest.refused(contest.alias(version))
    contest.refused(contest.ask("rollback", version=version))
    assert contest.champion() == FORMER


def test_retired_so_that_older_verdicts_count_again(own_contest: Contest) -> None:
    """What was measured before a slot lost its champion says nothing about it now."""
    contest = own_contest
    early = register(contest.rest, contest.model, "early", lineage=contest.keys)
    gate(contest.rest, early, "passed", None, contest.keys)
    assert contest.ask("retire").status == 200
    assert contest.champion() is None
    for version in (FAILED, UNGATED, OUTDATED, PASSED, early.version):
        contest.refused(contest.alias(version))
    assert contest.champion() is None


def test_a_first_verdict_while_a_champion_stands(own_contest: Contest) -> None:
    contest = own_contest
    early = register(contest.rest, contest.model, "early", lineage=contest.keys)
    gate(contest.rest, early, "passed", None, contest.keys)
    contest.refused(contest.alias(early.version), "passed against no champion")
    assert contest.champion() == CHAMPION


@pytest.mark.parametrize("verb", ["promote", "rollback", "retire", "override", "approve", "withdraw"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_form_on_another_site(contest: Contest, verb: str, kind: str | None) -> None:
    """What a browser sends across sites without asking first must never change anything."""
    body = f'{{"slot": "{contest.slot}", "version": {PASSED}, "reason": "x", "days": 1, "x": "="}}'.encode()
    headers = {"Origin": "http://evil.example"} | ({"Content-Type": kind} if kind else {})
    assert 400 <= contest.rest("POST", f"{ELP}/{verb}", body=body, headers=headers).status < 500


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=application/json"])
def test_a_script_on_another_site(contest: Contest, kind: str) -> None:
    body = f'{{"slot": "{contest.slot}", "version": {PASSED}, "reason": "x"}}'.encode()
    headers = {"Origin": "http://evil.example", "Content-Type": kind}
    assert 400 <= contest.rest("POST", f"{ELP}/promote", body=body, headers=headers).status < 500


def test_no_other_site_is_allowed_to_read(contest: Contest) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = contest.rest("OPTIONS", f"{ELP}/promote", headers=headers)
    allowed = {name.lower(): value for name, value in answer.headers.items()}
    assert "access-control-allow-origin" not in allowed


def test_a_name_that_points_here(contest: Contest) -> None:
    """DNS rebinding: a foreign name that resolves to this address."""
    for target in (f"{ELP}/promote", "/api/2.0/mlflow/registered-models/alias"):
        values = {"slot": contest.slot, "version": PASSED, "name": contest.model, "alias": "champion"}
        answer = contest.rest("POST", target, values, headers={"Host": "evil.example"})
        assert answer.status == 403


@pytest.mark.parametrize("verb", ["promote", "rollback", "retire", "override", "approve", "withdraw"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"slot": None},
        {"slot": ["plant-1/asr"]},
        {"slot": "plant-1/asr\n", "version": PASSED},
        {"slot": "plant-1"},
        {"slot": "../asr"},
        {"slot": "x" * 100_000},
        {"slot": "plant-1/asr", "version": "3; drop table elp_ledger", "reason": "x"},
        {"slot": "plant-1/asr", "version": -3, "reason": "x"},
        {"slot": "plant-1/asr", "version": 3.5, "reason": "x"},
        {"slot": "plant-1/asr", "version": [PASSED], "reason": "x"},
        {"slot": "plant-1/asr", "version": True, "reason": "x"},
        {"slot": "plant-1/asr", "version": 10**30, "reason": "x"},
        {"slot": "no-such-site/asr", "version": 1, "reason": "x", "days": 1},
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_request_that_makes_no_sense(contest: Contest, verb: str, values: dict[str, Any]) -> None:
    answer = contest.rest("POST", f"{ELP}/{verb}", {"reason": "x", **values} if values else values)
    assert 400 <= answer.status < 500, f"{answer.status} {answer.text[:300]}"


@pytest.mark.parametrize(
    "reason", ["", "   ", None, 5, ["x"], "x" * 1_000_000, "\x00", "\ud800"], ids=lambda value: ascii(value)[:20]
)
def test_a_reason_that_says_nothing(contest: Contest, reason: object) -> None:
    answer = contest.rest("POST", f"{ELP}/retire", {"slot": contest.slot, "reason": reason})
    assert 400 <= answer.status < 500, f"{answer.status} {answer.text[:300]}"


def test_a_name_claimed_without_a_login_is_marked_as_claimed(own_contest: Contest) -> None:
    contest = own_contest
    headers = {"X-Forwarded-For": "10.9.9.9", "X-Real-IP": "10.9.9.9", "Remote-User": "root"}
    values = {"slot": contest.slot, "version": PASSED, "reason": "x", "by": "the boss"}
    assert contest.rest("POST", f"{ELP}/promote", values, headers=headers).status == 200
    assert contest.ledger()[-1]["who"] == {"name": "the boss", "login": False, "address": "127.0.0.1"}


def test_a_reason_cannot_break_out_of_its_line(own_contest: Contest) -> None:
    contest, reason = own_contest, 'x"}\n{"event": "promoted", "to": 5}\r\n\u2028'
    assert contest.ask("promote", version=PASSED, reason=reason).status == 200
    assert [entry["reason"] for entry in contest.ledger(contest.mark)] == [reason.strip()]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("route", ["ledger", "statements", "champions", "status"])
def test_what_is_recorded_can_only_be_read(contest: Contest, method: str, route: str) -> None:
    answer = contest.rest(method, f"{ELP}/{route}", None if method == "GET" else {"seq": 1})
    assert answer.status < 500
    assert method == "GET" or answer.status == 405


@pytest.mark.parametrize(
    "query", ["slot=x'%20or%201=1--", "after=-1", "after=x", "limit=-1", "limit=999999999", "event=%00"]
)
def test_a_question_that_is_meant_to_break_out(contest: Contest, query: str) -> None:
    assert contest.rest("GET", f"{ELP}/ledger?{query}").status < 500


def test_the_rightful_way_still_works(own_contest: Contest) -> None:
    contest = own_contest
    assert contest.alias(PASSED).status == 200
    assert contest.champion() == PASSED
    assert contest.ask("rollback", version=CHAMPION).status == 200
    later = register(contest.rest, contest.model, "later", lineage=contest.keys)
    gate(contest.rest, later, "passed", contest.made[CHAMPION], contest.keys)
    promote(contest.rest, later)
    assert [e["event"] for e in contest.ledger(contest.mark)][:2] == ["promoted", "rolled back"]
