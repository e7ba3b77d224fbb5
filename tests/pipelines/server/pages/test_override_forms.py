"""The forms for an override: what each user is offered, and how the server refuses everything else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete
from werkzeug.test import TestResponse

from pipelines.server.auth import principal
from pipelines.server.auth.principal import Caller
from pipelines.server.ledger import OVERRIDES
from pipelines.server.storage import override_requests
from pipelines.server.storage.override_requests import OverrideRequest
from pipelines.server.stores import registry_store as server
from tests.support.console_pages import newest, token
from tests.support.html import faults, read_html

SLOT = "/elp/slots/plant-b/asr"
ACTORS = {
    "anna": Caller("anna", True, "", roles=("promoter",)),
    "berta": Caller("berta", True, "", roles=("promoter",)),
    "Änna": Caller("Änna", True, "", roles=("promoter",)),
    "dora": Caller("dora", True, "", roles=("auditor",)),
}
ASK, APPROVE, WITHDRAW = "Request an override", "Approve the override", "Withdraw the override"


@pytest.fixture
def _login(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(principal.AUTH, "1")


@contextlib.contextmanager
def _open(in_force: bool) -> Iterator[OverrideRequest]:
    given = {"bundle": "b", "before": 4, "before_bundle": "c", "seconds": 3 * 86_400.0, "asked_by": "anna"}
    with server.registry().locked() as transaction:
        request = override_requests.add_request(
            transaction.session, slot="plant-b/asr", version=3, reason="<b>the line</b> stands", asked_at="x", **given
        )
        if in_force:
            request = override_requests.approve_request(
                transaction.session, request, "berta", "2099-01-01T00:00:00.000000+00:00"
            )
    try:
        yield request
    finally:
        with server.registry().locked() as transaction:
            transaction.session.execute(delete(OVERRIDES))


@pytest.fixture
def waiting(_login: None) -> Iterator[OverrideRequest]:
    """Anna asked for v3 of plant-b/asr."""
    with _open(False) as request:
        yield request


def buttons(visitor: FlaskClient, name: str) -> set[str]:
    with principal.acting_as(ACTORS[name]):
        page = read_html(visitor.get(SLOT).text)
    assert faults(page) == []
    return {button.text for button in page.all("button")} & {ASK, APPROVE, WITHDRAW}


def send(visitor: FlaskClient, name: str, kind: str, **form: str) -> TestResponse:
    with principal.acting_as(ACTORS[name]):
        return visitor.post(f"{SLOT}/{kind}", data={"token": token(visitor, SLOT), "reason": "why", **form})


def newest_event() -> tuple[str, str]:
    """What the ledger's newest entry says, and of whom."""
    return newest().event, newest().principal.name


def test_without_a_login_there_is_no_form_and_none_is_accepted(visitor: FlaskClient) -> None:
    assert ASK not in visitor.get(SLOT).text
    answer = send(visitor, "anna", "override", version="3", days="7")
    assert answer.status_code == 403
    assert "this server does not know who is calling" in answer.text


@pytest.mark.usefixtures("_login")
def test_without_an_override_one_can_be_requested(visitor: FlaskClient) -> None:
    assert buttons(visitor, "anna") == {ASK}


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize(
    ("name", "offered"), [("anna", {WITHDRAW}), ("Änna", {WITHDRAW}), ("berta", {APPROVE, WITHDRAW})]
)
def test_only_another_user_is_offered_the_approval(visitor: FlaskClient, name: str, offered: set[str]) -> None:
    assert buttons(visitor, name) == offered
    with principal.acting_as(ACTORS[name]):
        text = visitor.get(SLOT).text
    assert ("for 3 days" in text, "<b>the line</b>" in text) == (True, False)


@pytest.mark.usefixtures("_login")
def test_an_override_in_force_is_red_and_can_only_be_withdrawn(visitor: FlaskClient) -> None:
    with _open(True):
        assert buttons(visitor, "berta") == {WITHDRAW}
        with principal.acting_as(ACTORS["berta"]):
            page = read_html(visitor.get(SLOT).text)
        alarms = [p.text for p in page.all("p") if p.attributes.get("class") == "alarm"]
        assert any(
            "v3 serves until 2099-01-04T00:00 UTC, asked by anna, approved by berta" in alarm for alarm in alarms
        )


@pytest.mark.parametrize("kind", ["override", "approve", "withdraw"])
def test_an_override_form_of_another_site_is_refused(visitor: FlaskClient, waiting: OverrideRequest, kind: str) -> None:
    before = newest()
    answer = send(visitor, "berta", kind, token="0" * 43, version="3", days="7", request=f"{waiting.id}")
    assert answer.status_code == 403
    assert "older than the page" in answer.text
    assert newest() == before


@pytest.mark.parametrize("kind", ["override", "approve", "withdraw"])
def test_a_user_without_the_role_is_refused(visitor: FlaskClient, waiting: OverrideRequest, kind: str) -> None:
    answer = send(visitor, "dora", kind, version="3", days="7", request=f"{waiting.id}")
    assert answer.status_code == 403
    assert "dora has the role auditor, and this needs promoter" in answer.text
    assert newest_event() == ("refused", "dora")


@pytest.mark.parametrize(("name", "why"), [("anna", "anna cannot approve"), ("Änna", "it takes a second person")])
def test_the_user_who_requested_cannot_approve_by_a_form(
    visitor: FlaskClient, waiting: OverrideRequest, name: str, why: str
) -> None:
    answer = send(visitor, name, "approve", request=f"{waiting.id}")
    assert (answer.status_code, why in answer.text) == (403, True)
    assert newest_event() == ("refused", name)


@pytest.mark.parametrize("kind", ["approve", "withdraw"])
def test_a_form_of_an_old_page_changes_no_other_request(
    visitor: FlaskClient, waiting: OverrideRequest, kind: str
) -> None:
    answer = send(visitor, "berta", kind, request=f"{waiting.id + 1}")
    assert answer.status_code == 403
    assert "the request that you looked at is over; plant-b/asr has another one now, by anna for v3" in answer.text


@pytest.mark.usefixtures("_login")
@pytest.mark.parametrize(
    ("form", "status", "why"),
    [
        ({"days": ""}, 400, "for how many days"),
        ({"days": "1.5"}, 400, "for how many days"),
        ({"days": "-1"}, 400, "for how many days"),
        ({"days": "٣"}, 400, "for how many days"),
        ({"days": "9" * 5000}, 400, "for how many days"),
        ({"days": "0"}, 403, "more than 0 and at most 31 days"),
        ({"days": "32"}, 403, "at most 31 days"),
        ({"version": ""}, 400, "no version was chosen"),
        ({"version": "99"}, 404, "not found"),
        ({"reason": " "}, 400, "a reason of 1 to 1000 characters"),
        ({"version": "3"}, 403, "cannot serve"),
    ],
)
def test_an_invalid_request_is_refused(visitor: FlaskClient, form: dict[str, str], status: int, why: str) -> None:
    answer = send(visitor, "anna", "override", **{"version": "3", "days": "7", **form})
    assert (answer.status_code, why in answer.text) == (status, True)
    assert faults(read_html(answer.text)) == []


@pytest.mark.parametrize("kind", ["approve", "withdraw"])
@pytest.mark.parametrize("number", ["", "x", "9" * 5000])
def test_a_form_without_its_request_is_refused(
    visitor: FlaskClient, waiting: OverrideRequest, kind: str, number: str
) -> None:
    assert send(visitor, "berta", kind, request=number).status_code == 400


def test_a_request_is_withdrawn(visitor: FlaskClient, waiting: OverrideRequest) -> None:
    answer = send(visitor, "berta", "withdraw", request=f"{waiting.id}", reason="the line runs")
    assert (answer.status_code, newest_event()) == (303, ("override withdrawn", "berta"))
    with principal.acting_as(ACTORS["berta"]):
        page = visitor.get(answer.headers["Location"]).text
    assert "override withdrawn: nothing else changed" in page
    assert buttons(visitor, "berta") == {ASK}
