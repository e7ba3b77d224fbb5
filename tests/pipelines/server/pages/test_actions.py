"""Forms: only those of the console are accepted, and the server's refusal is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from flask.testing import FlaskClient

from pipelines.server.auth import principal
from pipelines.server.auth.principal import Caller
from tests.support.console_pages import newest, token
from tests.support.html import faults, read_html

SLOT = "/elp/slots/plant-b/asr"


@pytest.mark.parametrize(
    ("sent", "headers", "sentence"),
    [
        ({"token": ""}, {}, "older than the page"),
        ({"token": "0" * 43}, {}, "older than the page"),
        ({}, {"Origin": "http://evil.example"}, "came from http://evil.example"),
        ({}, {"Origin": "null"}, "came from null"),
        ({}, {"Sec-Fetch-Site": "cross-site"}, "sent by another site"),
        ({}, {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"}, "sent by another site"),
    ],
)
def test_a_form_of_another_site_is_refused(
    visitor: FlaskClient, sent: Mapping[str, str], headers: Mapping[str, str], sentence: str
) -> None:
    form = {"token": token(visitor, SLOT), "reason": "for the better", "version": "5", **sent}
    before = newest()
    answer = visitor.post(f"{SLOT}/promote", data=form, headers=dict(headers))
    assert answer.status_code == 403
    assert sentence in answer.text
    assert newest() == before


@pytest.mark.parametrize("kind", ["promote", "rollback", "retire"])
@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_a_change_needs_a_reason(visitor: FlaskClient, kind: str, reason: str) -> None:
    form = {"token": token(visitor, SLOT), "reason": reason, "version": "5"}
    answer = visitor.post(f"{SLOT}/{kind}", data=form)
    assert answer.status_code == 400
    assert "a reason of 1 to 1000 characters" in answer.text


@pytest.mark.parametrize("version", ["", "-1", "٣٤x", "4.5"])
def test_a_promotion_needs_a_version(visitor: FlaskClient, version: str) -> None:
    answer = visitor.post(
        f"{SLOT}/promote", data={"token": token(visitor, SLOT), "reason": "better", "version": version}
    )
    assert answer.status_code == 400
    assert "no version was chosen" in answer.text


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("promote", {"version": "9" * 5000}),
        ("promote", {"version": "5", "by": "an\0n"}),
        ("promote", {"version": "5", "reason": "bett\0er"}),
        ("rollback", {"champion": "9" * 5000}),
        ("retire", {}),
    ],
)
def test_a_form_with_impossible_values_is_refused(visitor: FlaskClient, kind: str, sent: Mapping[str, str]) -> None:
    form = {"token": token(visitor, SLOT), "reason": "better", **sent}
    assert visitor.post(f"{SLOT}/{kind}", data=form).status_code == 400


def test_the_links_of_a_refused_form_s_page_lead_to_the_slot_s_page(visitor: FlaskClient) -> None:
    answer = visitor.post(f"{SLOT}/promote", data={"token": token(visitor, SLOT), "reason": "", "version": "5"})
    assert answer.status_code == 400
    # an address that begins with a question mark would be that of the form, which nobody can open
    assert 'href="?' not in answer.text
    assert f'href="{SLOT}?version=' in answer.text


def test_a_form_of_an_old_page_ends_no_other_champion(visitor: FlaskClient) -> None:
    slot, before = "/elp/slots/plant-a/asr", visitor.get("/elp/slots/plant-a/asr").text
    assert 'name="champion"' in before
    answer = visitor.post(f"{slot}/retire", data={"token": token(visitor, SLOT), "reason": "worse", "champion": "99"})
    assert answer.status_code == 403
    assert "the champion of plant-a/asr was v99 and is" in answer.text


def test_a_refusal_is_shown_with_the_form_as_it_was_sent_and_recorded(visitor: FlaskClient) -> None:
    form = {"token": token(visitor, SLOT), "reason": "it <b>must</b> serve", "version": "5", "by": "bert"}
    answer = visitor.post(f"{SLOT}/promote", data=form)
    page = read_html(answer.text)
    assert answer.status_code == 403
    assert faults(page) == []
    result = next(e for e in page.all("div") if e.attributes.get("id") == "result")
    assert (result.attributes["role"], "cannot serve" in result.text) == ("alert", True)
    assert page.all("textarea")[0].own == "it <b>must</b> serve"
    assert "1 × promote by bert, last " in answer.text


def test_a_link_cannot_claim_that_something_was_done(client: FlaskClient) -> None:
    assert "Done:" not in client.get("/elp/slots/plant-a/asr?done=3").text
    assert "Done:" not in client.get("/elp/slots/plant-a/asr?done=99999999").text


def test_other_actions_have_no_route(visitor: FlaskClient) -> None:
    assert visitor.post(f"{SLOT}/delete", data={"token": token(visitor, SLOT)}).status_code == 404
    assert visitor.get(f"{SLOT}/promote").status_code == 405


@pytest.fixture
def _logged_in(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ada may read, and nothing else; `client` has opened the stores."""
    monkeypatch.setenv(principal.AUTH, "1")
    with principal.acting_as(Caller("ada", True, "127.0.0.1", roles=("auditor",))):
        yield


@pytest.mark.usefixtures("_logged_in")
def test_with_a_login_the_user_and_its_roles_decide(visitor: FlaskClient) -> None:
    page = visitor.get(SLOT).text
    assert "signed in as ada" in page
    assert 'name="by"' not in page
    form = {"token": token(visitor, SLOT), "reason": "for the better", "version": "5", "by": "bert"}
    answer = visitor.post(f"{SLOT}/promote", data=form)
    assert answer.status_code == 403
    assert "ada has the role auditor, and this needs promoter" in answer.text
    entry = newest()
    assert (entry.event, entry.principal.name, entry.principal.login) == ("refused", "ada", True)
