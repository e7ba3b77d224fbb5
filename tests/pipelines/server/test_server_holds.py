"""Holds on a real server with a login."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.login_server import LoginServer
from tests.support.rest import Answer
from tests.support.versions_by_hand import API, ELP, Made, gate, promote, register

pytestmark = pytest.mark.integration

LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()


@pytest.fixture(scope="module")
def made(login: LoginServer) -> list[Made]:
    """A champion and a candidate."""
    keys, emil = load_trusted_keys(login.guarded.keys), login.rest("emil")
    versions = [register(emil, "elp.held.asr", f"held-{mark}", lineage=keys) for mark in (1, 2)]
    gate(emil, versions[0], "passed", None, keys)
    promote(emil, versions[0])
    return versions


def _hold(login: LoginServer, user: str, subject: str, **over: Any) -> Answer:
    return login.rest(user)("POST", f"{ELP}/hold", {"subject": subject, "until": LATER, "reason": "a dispute", **over})


def _end(login: LoginServer, user: str, number: int) -> Answer:
    return login.rest(user)("POST", f"{ELP}/end-hold", {"hold": number, "reason": "settled"})


def test_a_held_version_is_not_deleted_until_the_hold_ends(login: LoginServer, made: list[Made]) -> None:
    carl, target = login.rest("carl"), {"name": made[1].model, "version": "2"}
    number = _hold(login, "anna", "held/asr@v2").json["number"]
    refused = carl("DELETE", f"{API}/model-versions/delete", target)
    refused.must_be(403, f"v2 is not deleted: hold {number} by anna until ", f"end it first: elp hold end {number}")
    listed = login.rest("dora").get(f"{ELP}/holds")["holds"]
    assert [(one["number"], one["subject"], one["by"], one["reason"]) for one in listed] == [
        (number, "held/asr@v2", "anna", "a dispute")
    ]
    _end(login, "berta", number).must_be(200)
    _end(login, "berta", number).must_be(403, f"there is no hold {number} in force")
    assert login.rest("dora").get(f"{ELP}/holds")["holds"] == []
    entries = login.rest("dora").get(f"{ELP}/ledger?slot=held%2Fasr&limit=1000")["entries"]
    assert [one["entry"]["event"] for one in entries][-3:] == ["held", "refused", "hold ended"]


def test_a_held_model_is_not_deleted(login: LoginServer, made: list[Made]) -> None:
    retired = register(login.rest("emil"), "elp.held-model.asr", "held-model", lineage=None)
    number = _hold(login, "anna", "held-model/asr").json["number"]
    answer = login.rest("emil")("DELETE", f"{API}/registered-models/delete", {"name": retired.model})
    answer.must_be(403, f"is not deleted: hold {number} by anna")
    _end(login, "anna", number).must_be(200)


def test_a_speaker_is_recorded_by_a_digest(login: LoginServer, made: list[Made]) -> None:
    done = _hold(login, "anna", "speaker:maria lopez")
    assert done.json["subject"].startswith("speaker:sha256:")
    ledger = login.rest("dora").get(f"{ELP}/ledger?event=held&limit=1000")
    assert "maria" not in str(ledger)
    _end(login, "anna", done.json["number"]).must_be(200)


@pytest.mark.parametrize(
    ("over", "status", "sentence"),
    [
        ({"reason": "  "}, 403, "say why held/asr is held"),
        ({"until": "2020-01-01T00:00:00+00:00"}, 403, "a hold ends in the future"),
        ({"until": "2099-01-01"}, 403, "is no moment"),
        ({"until": "x" * 99}, 403, "is no moment"),
        ({"until": 7}, 400, "until: expected text"),
        ({"subject": "held/asr@v99"}, 403, "held/asr v99 is not in the registry"),
        ({"subject": "held"}, 400, "is not a slot"),
        ({"subject": "golden/held/asr/v1"}, 400, "is nothing to hold"),
        ({"subject": "speaker:\x00"}, 400, "control characters"),
        ({"more": 1}, 400, "the body has"),
    ],
    ids=str,
)
def test_a_hold_that_is_none(
    login: LoginServer, made: list[Made], over: dict[str, Any], status: int, sentence: str
) -> None:
    _hold(login, "anna", over.pop("subject", "held/asr"), **over).must_be(status, sentence)
    assert login.rest("dora").get(f"{ELP}/holds")["holds"] == []
