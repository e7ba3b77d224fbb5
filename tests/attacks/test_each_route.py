"""One attack on each route that could make, fake or lose a champion, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, FAILED, PASSED, UNGATED, Contest
from tests.support.versions_by_hand import API, ARTIFACTS, ELP

pytestmark = pytest.mark.both_databases

VERSION, MODEL, ALIAS = f"{API}/model-versions", f"{API}/registered-models", f"{API}/registered-models/alias"
TAG = {"key": "elp.verdict", "value": "passed"}
PRODUCTION = {"version": str(FAILED), "stage": "Production"}
COPY = {"source": "models:/MODEL/2"}
REFUSED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "set an alias": ("POST", ALIAS, {"alias": "champion", "version": str(UNGATED)}, "was never gated; gate it"),
    "delete an alias": (
        "DELETE",
        ALIAS,
        {"alias": "champion"},
        "is not deleted: a slot loses its champion by: elp retire",
    ),
    "rename the model": ("POST", f"{MODEL}/rename", {"new_name": "mine"}, "a slot's model keeps its name"),
    "delete the model": ("DELETE", f"{MODEL}/delete", {}, "v2 is the champion; retire it first: elp retire"),
    "tag the model": ("POST", f"{MODEL}/set-tag", TAG, "'elp.verdict' is not changed by hand"),
    "delete its tag": ("DELETE", f"{MODEL}/delete-tag", {"key": "elp.site"}, "'elp.site' is not changed by hand"),
    "create a version": (
        "POST",
        f"{VERSION}/create",
        {"source": "s3://bucket/model"},
        "must be a logged model of this server",
    ),
    "copy a version": ("POST", f"{VERSION}/create", COPY, " v2 is not copied to "),
    "describe": ("PATCH", f"{VERSION}/update", {"version": "3", "description": ""}, "reports the gate's verdict"),
    "change a stage": ("POST", f"{VERSION}/transition-stage", PRODUCTION, "has no stages"),
    "delete a version": ("DELETE", f"{VERSION}/delete", {"version": str(CHAMPION)}, "v2 is the champion; retire it"),
    "tag a version": ("POST", f"{VERSION}/set-tag", {"version": "4", **TAG}, "'elp.verdict' is not changed by hand"),
    "delete a tag": (
        "DELETE",
        f"{VERSION}/delete-tag",
        {"version": "4", "key": "elp.status"},
        "is not changed by hand",
    ),
    "promote": ("POST", f"{ELP}/promote", {"version": FAILED}, "the gate's verdict is failed"),
    "roll back": ("POST", f"{ELP}/rollback", {"version": PASSED}, "was never champion by a verdict"),
    "retire": ("POST", f"{ELP}/retire", {"reason": "  "}, "is retired: elp retire"),
    "ask for an override": (
        "POST",
        f"{ELP}/override",
        {"version": FAILED, "reason": "x"},
        "an override takes two people",
    ),
    "approve it": ("POST", f"{ELP}/approve", {}, "an override takes two people"),
    "withdraw it": ("POST", f"{ELP}/withdraw", {}, "has no override to withdraw"),
    "hold in the past": (
        "POST",
        f"{ELP}/hold",
        {"subject": "SLOT", "until": "2020-01-01T00:00:00+00:00", "reason": "x"},
        "a hold ends in the future",
    ),
    "end a hold": ("POST", f"{ELP}/end-hold", {"hold": 1, "reason": "x"}, "there is no hold 1 in force"),
}
NO_SLOT = (f"{ELP}/hold", f"{ELP}/end-hold")
"""Routes whose body names no slot."""


@pytest.mark.parametrize("attack", REFUSED)
def test_each_route_refuses_and_the_ledger_records_it(contest: Contest, attack: str) -> None:
    method, target, values, sentence = REFUSED[attack]
    sent = {"slot": contest.slot} if target.startswith(ELP) else {"name": contest.model}
    names = {"MODEL": contest.model, "SLOT": contest.slot}
    sent = {} if target in NO_SLOT else sent
    for key, value in values.items():
        for mark, name in names.items():
            value = value.replace(mark, name) if isinstance(value, str) else value
        sent[key] = value
    contest.refused(contest.rest(method, target, sent), sentence)


def test_each_route_to_the_bytes_refuses(contest: Contest) -> None:
    made = contest.made[CHAMPION]
    frozen = ("holds the adapter of", "v2, which is signed: it is not changed or deleted any more")
    contest.refused(contest.rest("PUT", f"{ARTIFACTS}/{made.tensors}", body=b"other bytes"), *frozen)
    contest.refused(contest.rest("DELETE", f"{ARTIFACTS}/{made.folder}"), *frozen)
    for method, target, values in (
        ("POST", f"{API}/runs/delete", {"run_id": made.run_id}),
        ("DELETE", f"{API}/logged-models/{made.model_id}", {}),
        ("POST", f"{API}/experiments/delete", {"experiment_id": made.folder.split("/")[0]}),
    ):
        contest.refused(contest.rest(method, target, values), "stays: ", "is based on it; delete the version first")


def test_a_statement_without_a_signature_is_refused(contest: Contest) -> None:
    body = {
        "model": contest.model,
        "version": UNGATED,
        "envelope": {"payload": "", "payloadType": "", "signatures": []},
    }
    contest.refused(contest.rest("POST", f"{ELP}/statements", body), "the statement is not accepted: ")


@pytest.mark.parametrize("name", ["ELP.plant-1.asr", "elp․plant-1․asr"], ids=ascii)
def test_a_model_that_only_looks_like_a_slot(contest: Contest, name: str) -> None:
    answer = contest.rest("POST", f"{MODEL}/create", {"name": name})
    answer.must_be(403, f"{name!r} looks like a slot's model and is none")
