"""A server with a login: nobody, and users who may do something else, at the champion."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from pipelines.registry.signing.envelope import sign
from tests.support.accounts import PASSWORD, LoginServer
from tests.support.contest import CHAMPION, PASSED, UNGATED, Contest, prepare
from tests.support.rest import Answer, Rest
from tests.support.versions_by_hand import API, ARTIFACTS, ELP, posted, verdict_on

ALIAS = "2.0/mlflow/registered-models/alias"


@pytest.fixture(scope="module")
def _prepared(login: LoginServer) -> Contest:
    return prepare(login.guarded, "plant-r", login.rest("admin"))


@pytest.fixture
def ground(_prepared: Contest) -> Iterator[Contest]:
    """The slot, which must stand as it stood; the administrator looks."""
    _prepared.begin()
    yield _prepared
    moved = _prepared.moved()
    assert not moved, f"the attack got through: {moved}"


def _alias(rest: Rest, contest: Contest, target: str, version: int = PASSED) -> Answer:
    return rest("POST", target, {"name": contest.model, "alias": "champion", "version": str(version)})


@pytest.mark.parametrize("user", ["", "dora", "carl"])
@pytest.mark.parametrize(
    "target",
    [
        f"/api/{ALIAS}",
        f"/ajax-api/{ALIAS}",
        f"//api/{ALIAS}",
        f"/api//{ALIAS}",
        f"/API/{ALIAS}",
        f"/api/{ALIAS}/",
        f"/api/{ALIAS}%20",
        f"/health/../api/{ALIAS}",
        f"/static-files/../api/{ALIAS}",
        f"/static-files/..%2fapi/{ALIAS}",
        f"/api/{ALIAS};/health",
        f"/api/{ALIAS}?/health",
        f"/favicon.ico/api/{ALIAS}",
    ],
)
def test_a_passed_version_promoted_without_the_role(
    login: LoginServer, ground: Contest, user: str, target: str
) -> None:
    answer = _alias(login.rest(user), ground, target)
    assert answer.status >= 300, answer.text


@pytest.mark.parametrize("user", ["", "dora", "carl"])
@pytest.mark.parametrize("verb", ["promote", "rollback", "retire", "override", "approve", "withdraw"])
def test_our_own_routes_without_the_role(login: LoginServer, ground: Contest, user: str, verb: str) -> None:
    values = {"slot": ground.slot, "reason": "an attack"} | ({} if verb in ("retire", "withdraw") else {"version": 3})
    answer = login.rest(user)(
        "POST", f"{ELP}/{verb}", {k: v for k, v in values.items() if verb != "approve" or k == "slot"}
    )
    assert answer.status == (401 if not user else 403), answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Remote-User": "anna"},
        {"Remote-User": "admin"},
        {"X-Forwarded-User": "admin"},
        {"Authorization": "Bearer admin"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic " + base64.b64encode(b"anna").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"anna:").decode()},
        {"Authorization": "Basic " + base64.b64encode(f"ANNA:{PASSWORD}".encode()).decode()},
        {"Authorization": "Basic " + base64.b64encode(f"anna\x00:{PASSWORD}".encode()).decode()},
        {"Authorization": "Digest username=anna"},
        {"Cookie": "session=admin; username=admin"},
    ],
    ids=lambda headers: " ".join(headers),
)
def test_a_name_that_was_not_proven(login: LoginServer, ground: Contest, headers: dict[str, str]) -> None:
    values = {"name": ground.model, "alias": "champion", "version": str(PASSED)}
    assert Rest(login.uri)("POST", f"/api/{ALIAS}", values, headers=headers).status == 401


def test_a_trainer_in_the_name_of_a_promoter(login: LoginServer, ground: Contest) -> None:
    values = {"slot": ground.slot, "version": PASSED, "reason": "x", "by": "anna"}
    assert login.rest("carl")("POST", f"{ELP}/promote", values).status == 403
    newest = ground.ledger(ground.mark)[-1]
    assert (newest["event"], newest["who"]["name"], newest["who"]["login"]) == ("refused", "carl", True)


def test_a_promoter_cannot_make_what_is_promoted(login: LoginServer, ground: Contest) -> None:
    anna = login.rest("anna")
    assert _alias(anna, ground, f"/api/{ALIAS}", UNGATED).status == 403
    assert anna("PUT", f"{ARTIFACTS}/0/mine.txt", body=b"x").status == 403
    assert anna("POST", f"{API}/runs/create", {"experiment_id": "0"}).status == 403
    verdict = sign(verdict_on(ground.made[UNGATED], "passed", ground.made[CHAMPION]).payload, ground.keys, "verdict")
    assert anna("POST", f"{ELP}/statements", posted(ground.made[UNGATED], verdict.text)).status == 403
    values = {"name": ground.model, "source": f"models:/{ground.model}/{CHAMPION}"}
    assert anna("POST", f"{API}/model-versions/create", values).status == 403


@pytest.mark.parametrize("user", ["carl", "emil"])
def test_who_trains_cannot_sign_a_verdict_by_rank(login: LoginServer, ground: Contest, user: str) -> None:
    payload = verdict_on(ground.made[UNGATED], "passed", ground.made[CHAMPION]).payload
    body = posted(ground.made[UNGATED], sign(payload, ground.keys, "lineage").text)
    assert login.rest(user)("POST", f"{ELP}/statements", body).status == 403
    assert _alias(login.rest("emil"), ground, f"/api/{ALIAS}", UNGATED).status == 403


def test_an_override_with_oneself(login: LoginServer, ground: Contest) -> None:
    asked = {"slot": ground.slot, "version": UNGATED, "reason": "in a hurry", "days": 1}
    assert login.rest("anna")("POST", f"{ELP}/override", asked).status == 200
    for user in ("anna", "carl", "dora", ""):
        assert login.rest(user)("POST", f"{ELP}/approve", {"slot": ground.slot}).status in (401, 403)
    assert login.rest("anna")("POST", f"{ELP}/withdraw", {"slot": ground.slot, "reason": "x"}).status == 200
    # what was withdrawn cannot be approved any more
    assert login.rest("berta")("POST", f"{ELP}/approve", {"slot": ground.slot}).status == 403


@pytest.mark.parametrize("days", [0, -1, 1000, 1e308, "7", True, None])
def test_an_override_without_end(login: LoginServer, ground: Contest, days: object) -> None:
    asked = {"slot": ground.slot, "version": UNGATED, "reason": "in a hurry", "days": days}
    assert 400 <= login.rest("anna")("POST", f"{ELP}/override", asked).status < 500
