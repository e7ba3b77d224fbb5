"""A server with a login: requests without one, and users with other roles, that try to move the champion."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from pipelines.registry.signing.envelope import sign
from tests.support.contest import CHAMPION, PASSED, UNGATED, Contest, prepare
from tests.support.login_server import PASSWORD, LoginServer
from tests.support.rest import Answer, Rest
from tests.support.versions_by_hand import API, ARTIFACTS, ELP, posted, verdict_on

ALIAS = "2.0/mlflow/registered-models/alias"
NO_LOGIN = "this server requires a login: log in"
OURS, MLFLOWS = "carl has the role trainer, and this needs promoter", "Permission denied"


@pytest.fixture(scope="module")
def _prepared(login: LoginServer) -> Contest:
    return prepare(login.guarded, "plant-r", login.rest("admin"))


@pytest.fixture
def ground(_prepared: Contest) -> Iterator[Contest]:
    """The slot, which must be as it was before; the administrator looks."""
    _prepared.begin()
    yield _prepared
    changed = _prepared.changed()
    assert not changed, f"the attack succeeded: {changed}"


def _alias(rest: Rest, contest: Contest, target: str, version: int = PASSED) -> Answer:
    return rest("POST", target, {"name": contest.model, "alias": "champion", "version": str(version)})


@pytest.mark.parametrize(
    ("target", "status", "sentence"),
    [
        (f"/api/{ALIAS}", 403, OURS),
        (f"/ajax-api/{ALIAS}", 403, OURS),
        (f"//api/{ALIAS}", 403, OURS),
        (f"/api/{ALIAS}?/health", 403, OURS),
        (f"/api//{ALIAS}", 403, MLFLOWS),
        (f"/API/{ALIAS}", 403, MLFLOWS),
        (f"/api/{ALIAS}/", 403, MLFLOWS),
        (f"/api/{ALIAS}%20", 403, MLFLOWS),
        (f"/api/{ALIAS};/health", 403, MLFLOWS),
        (f"/health/../api/{ALIAS}", 404, "Not Found"),
        (f"/favicon.ico/api/{ALIAS}", 404, "Not Found"),
    ],
)
def test_a_passed_version_promoted_without_the_role(
    login: LoginServer, ground: Contest, target: str, status: int, sentence: str
) -> None:
    _alias(login.rest(), ground, target).must_be(401, NO_LOGIN)
    _alias(login.rest("dora"), ground, target).must_be(403, "dora has the role auditor, and this needs trainer")
    _alias(login.rest("carl"), ground, target).must_be(status, sentence)


@pytest.mark.parametrize("target", [f"/static-files/../api/{ALIAS}", f"/static-files/..%2fapi/{ALIAS}"])
def test_a_path_out_of_the_open_files(login: LoginServer, ground: Contest, target: str) -> None:
    for user in ("", "dora", "carl"):
        _alias(login.rest(user), ground, target).must_be(405, "Method Not Allowed")


@pytest.mark.parametrize(
    "verb", ["promote", "rollback", "retire", "override", "approve", "withdraw", "hold", "end-hold"]
)
def test_our_own_routes_without_the_role(login: LoginServer, ground: Contest, verb: str) -> None:
    values: dict[str, object] = {"slot": ground.slot}
    values |= {} if verb == "approve" else {"reason": "an attack"}
    values |= {"version": PASSED} if verb in ("promote", "rollback", "override") else {}
    if verb == "hold":
        values = {"subject": ground.slot, "until": "2099-01-01T00:00:00+00:00", "reason": "an attack"}
    if verb == "end-hold":
        values = {"hold": 1, "reason": "an attack"}
    login.rest()("POST", f"{ELP}/{verb}", values).must_be(401, NO_LOGIN)
    for user, role in (("dora", "auditor"), ("carl", "trainer")):
        answer = login.rest(user)("POST", f"{ELP}/{verb}", values)
        ground.refused(answer, f"{user} has the role {role}, and this needs promoter")


@pytest.mark.parametrize(
    ("verb", "values"),
    [
        ("trash", {"versions": [{"slot": "plant-r/asr", "version": UNGATED, "bundle": "sha256:" + "0" * 64}]}),
        ("restore", {"slot": "plant-r/asr"}),
        ("empty-trash", {}),
        ("may-remove", {}),
        ("data-files", {"event": "data deleted", "files": {"0" * 32: 1}, "reason": "an attack"}),
    ],
)
def test_deletion_by_policy_without_being_an_administrator(
    login: LoginServer, ground: Contest, verb: str, values: dict[str, object]
) -> None:
    login.rest()("POST", f"{ELP}/{verb}", values).must_be(401, NO_LOGIN)
    for user in ("dora", "carl", "anna", "emil"):
        ground.refused(login.rest(user)("POST", f"{ELP}/{verb}", values), "this is for administrators")


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
        {"Authorization": f'Digest username="anna", password="{PASSWORD}"'},
        {"Cookie": "session=admin; username=admin"},
    ],
    ids=lambda headers: " ".join(headers),
)
def test_a_name_that_was_not_proven(login: LoginServer, ground: Contest, headers: dict[str, str]) -> None:
    values = {"name": ground.model, "alias": "champion", "version": str(PASSED)}
    Rest(login.uri)("POST", f"/api/{ALIAS}", values, headers=headers).must_be(401, NO_LOGIN)


def test_a_trainer_in_the_name_of_a_promoter(login: LoginServer, ground: Contest) -> None:
    values = {"slot": ground.slot, "version": PASSED, "reason": "x", "by": "anna"}
    ground.refused(login.rest("carl")("POST", f"{ELP}/promote", values), OURS)
    newest = ground.ledger(ground.mark)[-1]
    assert (newest["event"], newest["who"]["name"], newest["who"]["login"]) == ("refused", "carl", True)


def test_a_promoter_cannot_make_what_is_promoted(login: LoginServer, ground: Contest) -> None:
    anna = login.rest("anna")
    ground.refused(_alias(anna, ground, f"/api/{ALIAS}", UNGATED), "was never gated")
    verdict = sign(verdict_on(ground.made[UNGATED], "passed", ground.made[CHAMPION]).payload, ground.keys, "verdict")
    source = {"name": ground.model, "source": f"models:/{ground.model}/{CHAMPION}"}
    needs = "anna has the role promoter, and this needs trainer"
    anna("PUT", f"{ARTIFACTS}/0/mine.txt", body=b"x").must_be(403, needs)
    anna("POST", f"{API}/runs/create", {"experiment_id": "0"}).must_be(403, needs)
    anna("POST", f"{ELP}/statements", posted(ground.made[UNGATED], verdict.text)).must_be(403, needs)
    anna("POST", f"{API}/model-versions/create", source).must_be(403, needs)


@pytest.mark.parametrize("user", ["carl", "emil"])
def test_a_trainer_cannot_sign_a_verdict(login: LoginServer, ground: Contest, user: str) -> None:
    payload = verdict_on(ground.made[UNGATED], "passed", ground.made[CHAMPION]).payload
    body = posted(ground.made[UNGATED], sign(payload, ground.keys, "lineage").text)
    ground.refused(login.rest(user)("POST", f"{ELP}/statements", body), "may sign lineage, not verdict")
    ground.refused(_alias(login.rest("emil"), ground, f"/api/{ALIAS}", UNGATED), "was never gated")


def test_an_override_approved_by_the_person_who_asked(login: LoginServer, ground: Contest) -> None:
    asked = {"slot": ground.slot, "version": UNGATED, "reason": "in a hurry", "days": 1}
    login.rest("anna")("POST", f"{ELP}/override", asked).must_be(200)
    for user, status, sentence in (
        ("anna", 403, "anna cannot approve the override that anna asked for"),
        ("carl", 403, OURS),
        ("dora", 403, "dora has the role auditor, and this needs promoter"),
        ("", 401, NO_LOGIN),
    ):
        login.rest(user)("POST", f"{ELP}/approve", {"slot": ground.slot}).must_be(status, sentence)
    login.rest("anna")("POST", f"{ELP}/withdraw", {"slot": ground.slot, "reason": "x"}).must_be(200)
    answer = login.rest("berta")("POST", f"{ELP}/approve", {"slot": ground.slot})
    ground.refused(answer, "has no override to approve; ask for one: elp promote")


@pytest.mark.parametrize(
    ("days", "status", "sentence"),
    [
        *((days, 403, "an override lasts more than 0 and at most 31 days") for days in (0, -1, 1000)),
        *((days, 400, f"days: expected a number, got {str(days)!r}") for days in (1e308, "7", True, None)),
    ],
)
def test_an_override_without_end(login: LoginServer, ground: Contest, days: object, status: int, sentence: str) -> None:
    asked = {"slot": ground.slot, "version": UNGATED, "reason": "in a hurry", "days": days}
    login.rest("anna")("POST", f"{ELP}/override", asked).must_be(status, sentence)
