"""Our own routes, asked for what they must not do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, FAILED, FORMER, OUTDATED, PASSED, UNGATED, Contest
from tests.support.versions_by_hand import ELP, gate, promote, register

VERBS = ("promote", "rollback", "retire", "override", "approve", "withdraw")


@pytest.mark.parametrize(
    ("version", "more", "sentence"),
    [
        (UNGATED, {}, "v5 was never gated; gate it"),
        (FAILED, {"again": True}, "v4: the gate's verdict is failed"),
        (OUTDATED, {"again": False}, "v6 passed against v1"),
    ],
    ids=str,
)
def test_promote_without_the_verdict(contest: Contest, version: int, more: dict[str, Any], sentence: str) -> None:
    contest.refused(contest.ask("promote", version=version, **more), sentence)


@pytest.mark.parametrize("field", ["override", "force"])
def test_promote_with_a_field_that_does_not_exist(contest: Contest, field: str) -> None:
    answer = contest.ask("promote", version=FAILED, **{field: True})
    answer.must_be(400, f"the body has ['{field}'], expected slot, version, reason, by, again only")


def test_roll_back_to_a_version_that_never_was_champion(contest: Contest) -> None:
    for version in (PASSED, UNGATED, FAILED, OUTDATED):
        contest.refused(contest.ask("rollback", version=version), f"v{version} was never champion by a verdict")


def test_promotion_after_a_rollback(own_contest: Contest) -> None:
    contest = own_contest
    contest.ask("rollback", version=FORMER).must_be(200)
    contest.refused(contest.alias(CHAMPION), "v2 was rolled back at", "train another on better data")
    contest.refused(contest.ask("rollback", version=CHAMPION), "a rollback does not bring it back")
    contest.refused(contest.alias(PASSED), "v3 passed against v2", "but now there is v1")
    contest.refused(contest.ask("rollback", version=PASSED), "v3 was never champion by a verdict")
    assert contest.champion() == FORMER


def test_a_first_verdict_before_and_after_the_champion_is_retired(own_contest: Contest) -> None:
    """What was measured before a slot lost its champion says nothing about it now."""
    contest = own_contest
    early = register(contest.rest, contest.model, "early", lineage=contest.keys)
    gate(contest.rest, early, "passed", None, contest.keys)
    contest.refused(contest.alias(early.version), "passed against no champion, but now there is v2")
    assert contest.champion() == CHAMPION
    contest.ask("retire").must_be(200)
    assert contest.champion() is None
    for version, sentence in (
        (FAILED, "the gate's verdict is failed"),
        (UNGATED, "was never gated"),
        (OUTDATED, "passed against v1"),
        (PASSED, "passed against v2"),
        (early.version, "was judged as a first version, but"),
    ):
        contest.refused(contest.alias(version), f"v{version}", sentence)
    assert contest.champion() is None


def test_another_backbone_without_a_statement_and_past_the_site(own_contest: Contest) -> None:
    """A version on another backbone becomes champion with its whole site only, and if the ledger states it."""
    contest, other = own_contest, "sha256:" + "9" * 64
    made = register(contest.rest, contest.model, "elsewhere", lineage=contest.keys, fingerprint=other)
    gate(contest.rest, made, "passed", contest.made[CHAMPION], contest.keys)
    site = contest.slot.partition("/")[0]
    new = {"site": site, "backbone": "org/new", "fingerprint": other}
    versions = {"versions": {contest.slot: made.version}}
    unstated = ("is on the backbone sha256:9999", f"nothing states that {site} changes to it")
    contest.refused(contest.alias(made.version), *unstated)
    contest.refused(contest.ask("promote", version=made.version), *unstated)
    contest.refused(contest.rest("POST", f"{ELP}/backbone/switch", {**new, **versions}), *unstated)
    contest.refused(contest.rest("POST", f"{ELP}/backbone/back", {"site": site}), "has no switch to another backbone")
    same = {**new, "fingerprint": made.fingerprint.replace("9", "8")}
    contest.rest("POST", f"{ELP}/backbone/statement", {**same, "fingerprint": "9"}).must_be(400, "hexadecimal digits")
    contest.rest.post(f"{ELP}/backbone/statement", same)
    contest.refused(contest.alias(made.version), *unstated)
    contest.rest.post(f"{ELP}/backbone/statement", new)
    contest.refused(contest.alias(made.version), "the slots of a site change together")
    contest.refused(contest.ask("promote", version=made.version, again=True), "the slots of a site change together")
    failed = {"versions": {contest.slot: FAILED}}
    contest.refused(contest.rest("POST", f"{ELP}/backbone/switch", {**new, **failed}), "the site is not switched")
    assert contest.champion() == CHAMPION
    switch, back = f"{ELP}/backbone/switch", f"{ELP}/backbone/back"
    first = contest.rest.post(switch, {**new, **versions})
    assert contest.champion() == made.version
    done = contest.rest.post(back, {"site": site})
    assert (contest.champion(), done["changed"], done["earlier"]) == (CHAMPION, True, None)
    # a second time it names the same entry, and writes none
    assert contest.rest.post(back, {"site": site}) == {**done, "changed": False}
    further = {"site": site, "further": True}
    contest.refused(contest.rest("POST", back, further), "has no switch to another backbone")
    # again there and back, which is another entry
    contest.rest.post(switch, {**new, **versions, "again": True})
    assert contest.champion() == made.version
    second = contest.rest.post(back, {"site": site})
    assert (contest.champion(), second["changed"]) == (CHAMPION, True)
    assert first["seq"] < done["seq"] < second["seq"]
    assert contest.rest.post(back, {"site": site}) == {**second, "changed": False}


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        *zip(VERBS, ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None) * 2, strict=False),
        ("promote", "application/json"),
        ("promote", "text/plain; charset=application/json"),
    ],
)
def test_a_form_or_script_on_another_site(contest: Contest, verb: str, kind: str | None) -> None:
    """What a browser sends across sites without asking first must never change anything."""
    body = f'{{"slot": "{contest.slot}", "version": {PASSED}, "reason": "x", "days": 1, "x": "="}}'.encode()
    headers = {"Origin": "http://evil.example"} | ({"Content-Type": kind} if kind else {})
    answer = contest.rest("POST", f"{ELP}/{verb}", body=body, headers=headers)
    answer.must_be(403, "Cross-origin request blocked")


def test_no_other_site_may_read(contest: Contest) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = contest.rest("OPTIONS", f"{ELP}/promote", headers=headers)
    answer.must_be(400, "Disallowed CORS origin")
    assert "access-control-allow-origin" not in {name.lower() for name in answer.headers}


def test_a_foreign_name_that_resolves_to_this_address(contest: Contest) -> None:
    """DNS rebinding."""
    for target in (f"{ELP}/promote", "/api/2.0/mlflow/registered-models/alias"):
        values = {"slot": contest.slot, "version": PASSED, "name": contest.model, "alias": "champion"}
        answer = contest.rest("POST", target, values, headers={"Host": "evil.example"})
        answer.must_be(403, "Invalid Host header")


NO_SLOT = "is not a slot; expected SITE/TASK with the site in lower-case letters"
NUMBER = "Parameter 'version' must be a whole number, got "


@pytest.mark.parametrize(
    ("verb", "values", "status", "sentence"),
    [
        ("promote", {}, 400, "the body lacks slot, version"),
        ("rollback", {}, 400, "the body lacks slot"),
        ("retire", {}, 400, "the body lacks slot, reason"),
        ("override", {}, 400, "the body lacks slot, version, reason"),
        ("approve", {}, 400, "the body lacks slot"),
        ("withdraw", {"slot": None}, 400, "the body lacks slot"),
        ("rollback", {"slot": ["plant-1/asr"]}, 400, "slot: expected text, got list"),
        ("promote", {"slot": "plant-1/asr\n", "version": PASSED}, 400, "unknown task 'asr\\n'"),
        ("approve", {"slot": "plant-1"}, 400, NO_SLOT),
        ("withdraw", {"slot": "../asr"}, 400, NO_SLOT),
        ("rollback", {"slot": "x" * 100_000}, 400, NO_SLOT),
        ("promote", {"slot": "plant-1/asr", "version": "3; drop table elp_ledger"}, 400, NUMBER + "'3; drop table"),
        ("rollback", {"slot": "plant-1/asr", "version": -3}, 400, NUMBER + "'-3'"),
        ("override", {"slot": "plant-1/asr", "version": 3.5, "reason": "x"}, 400, NUMBER + "'3.5'"),
        ("promote", {"slot": "plant-1/asr", "version": [PASSED]}, 400, NUMBER + "'[3]'"),
        ("rollback", {"slot": "plant-1/asr", "version": True}, 400, NUMBER + "'True'"),
        ("override", {"slot": "plant-1/asr", "version": 10**30, "reason": "x"}, 400, NUMBER + "'1000000"),
        (
            "retire",
            {"slot": "plant-1/asr", "version": 3, "reason": "x"},
            400,
            "has ['version'], expected slot, reason, by",
        ),
        ("approve", {"slot": "plant-1/asr", "reason": "x"}, 400, "the body has ['reason'], expected slot only"),
        ("withdraw", {"slot": "plant-1/asr", "days": 1}, 400, "the body has ['days'], expected slot, reason only"),
        (
            "promote",
            {"slot": "no-such-site/asr", "version": 1},
            404,
            "(name=elp.no-such-site.asr, version=1) not found",
        ),
        ("override", {"slot": "no-such-site/asr", "version": 1, "reason": "x", "days": 1}, 404, "version=1) not found"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_request_that_makes_no_sense(
    contest: Contest, verb: str, values: dict[str, Any], status: int, sentence: str
) -> None:
    contest.rest("POST", f"{ELP}/{verb}", values).must_be(status, sentence)


@pytest.mark.parametrize(
    ("reason", "status", "sentence"),
    [
        ("", 400, "the body lacks reason"),
        (None, 400, "the body lacks reason"),
        ("   ", 403, "is retired: elp retire"),
        (5, 400, "reason: expected text, got int"),
        (["x"], 400, "reason: expected text, got list"),
        ("x" * 1_000_000, 400, "the reason has 1000000 characters, expected at most 1000"),
        ("\x00", 400, "reason has control characters: '\\x00'"),
        ("\ud800", 400, "reason has control characters: '\\ud800'"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_reason_that_says_nothing(contest: Contest, reason: object, status: int, sentence: str) -> None:
    contest.rest("POST", f"{ELP}/retire", {"slot": contest.slot, "reason": reason}).must_be(status, sentence)


def test_a_name_claimed_without_a_login_is_recorded_as_claimed(own_contest: Contest) -> None:
    contest = own_contest
    headers = {"X-Forwarded-For": "10.9.9.9", "X-Real-IP": "10.9.9.9", "Remote-User": "root"}
    values = {"slot": contest.slot, "version": PASSED, "reason": "x", "by": "the boss"}
    contest.rest("POST", f"{ELP}/promote", values, headers=headers).must_be(200)
    assert contest.ledger()[-1]["who"] == {"name": "the boss", "login": False, "address": "127.0.0.1"}
    contest.ask("rollback", version=CHAMPION).must_be(200)
    later = register(contest.rest, contest.model, "later", lineage=contest.keys)
    gate(contest.rest, later, "passed", contest.made[CHAMPION], contest.keys)
    promote(contest.rest, later)
    assert contest.champion() == later.version
    assert [e["event"] for e in contest.ledger(contest.mark)][:2] == ["promoted", "rolled back"]


def test_a_reason_cannot_break_out_of_its_line(own_contest: Contest) -> None:
    contest, reason = own_contest, 'x"}\n{"event": "promoted", "to": 5}\r\n\u2028'
    contest.alias(PASSED).must_be(200)
    contest.ask("rollback", version=CHAMPION, reason=reason).must_be(200)
    assert [entry["reason"] for entry in contest.ledger(contest.mark)] == ["its verdict passed", reason.strip()]


@pytest.mark.parametrize("route", ["ledger", "statements", "champions", "status"])
def test_what_is_recorded_can_only_be_read(contest: Contest, route: str) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        contest.rest(method, f"{ELP}/{route}", {"seq": 1}).must_be(405, "Method Not Allowed")
    if route == "statements":
        contest.rest("GET", f"{ELP}/{route}").must_be(400, "ask for statements by some of model, version, kind")
    else:
        contest.rest("GET", f"{ELP}/{route}").must_be(200)


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("slot=x'%20or%201=1--", 200, '"entries":[]'),
        ("limit=999999999", 200, '"entries":['),
        ("after=-1", 400, NUMBER + "'-1'"),
        ("after=x", 400, NUMBER + "'x'"),
        ("limit=-1", 400, NUMBER + "'-1'"),
        ("event=%00", 400, "the parameter 'event' has control characters: '\\x00'"),
    ],
)
def test_a_query_that_is_meant_to_break_out(contest: Contest, query: str, status: int, sentence: str) -> None:
    contest.rest("GET", f"{ELP}/ledger?{query}").must_be(status, sentence)
