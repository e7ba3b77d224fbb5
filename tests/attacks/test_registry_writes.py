"""Everything else that MLflow lets a client write about a model or a version."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, FAILED, OUTDATED, PASSED, UNGATED, Contest
from tests.support.rest import Answer
from tests.support.versions_by_hand import API, register

OWN_TAGS = [
    *(
        f"elp.{name}"
        for name in ("verdict", "status", "gate", "golden", "metric", "value", "promoted_by", "promoted_at")
    ),
    *(f"elp.{name}" for name in ("promoted_why", "predecessor", "history", "override", "bundle", "key", "fingerprint")),
    *("elp.dataset", "elp.anything", "ELP.verdict", "ｅlp.verdict", "elp․verdict", " elp.verdict", "elp.\u200bverdict"),
]
BY_HAND = "is not changed by hand: tags under elp. are written by the server from signed records"


def _send(contest: Contest, route: str, values: dict[str, Any], method: str = "POST") -> Answer:
    return contest.rest(method, f"{API}/{route}", {"name": contest.model, **values})


def test_a_forged_tag_on_a_version(contest: Contest) -> None:
    for key in OWN_TAGS:
        answer = _send(contest, "model-versions/set-tag", {"version": str(FAILED), "key": key, "value": "passed"})
        contest.refused(answer, f"the tag {key!r} {BY_HAND}", f"gate or promote instead: elp gate {contest.slot}")


def test_a_tag_deleted_from_a_version(contest: Contest) -> None:
    for key in ("elp.verdict", "elp.bundle", "elp.key", "elp.status"):
        values = {"version": str(FAILED), "key": key}
        contest.refused(_send(contest, "model-versions/delete-tag", values, "DELETE"), f"the tag {key!r} {BY_HAND}")


@pytest.mark.parametrize(
    ("version", "status", "sentence"),
    [
        ("04", 403, BY_HAND),
        ("+4", 400, "Parameter 'version' must be a whole number, got '+4'"),
        ("４", 400, "Parameter 'version' must be a whole number, got '４'"),
        (4, 400, "Value was of type 'int'"),
    ],
    ids=ascii,
)
def test_a_forged_tag_with_the_version_spelled_oddly(
    contest: Contest, version: object, status: int, sentence: str
) -> None:
    values = {"version": version, "key": "elp.verdict", "value": "passed"}
    _send(contest, "model-versions/set-tag", values).must_be(status, sentence)


@pytest.mark.parametrize(
    ("route", "key"),
    [
        ("registered-models/set-tag", "mlflow.prompt.is_prompt"),
        ("model-versions/set-tag", "mlflow.prompt.text"),
        ("registered-models/set-tag", "mlflow.modelVersions"),
    ],
)
def test_a_slot_hidden_from_every_list_as_a_prompt(contest: Contest, route: str, key: str) -> None:
    answer = _send(contest, route, {"version": str(FAILED), "key": key, "value": "true"})
    contest.refused(answer, f"the tag {key!r} is MLflow's own and would hide {contest.slot} from its lists")


def test_a_forged_tag_on_the_model(contest: Contest) -> None:
    for key in ("elp.site", "elp.task", "elp.champion", "ELP.site"):
        answer = _send(contest, "registered-models/set-tag", {"key": key, "value": "x"})
        contest.refused(answer, f"the tag {key!r} {BY_HAND}")
        answer = _send(contest, "registered-models/delete-tag", {"key": key, "value": "x"}, "DELETE")
        contest.refused(answer, f"the tag {key!r} {BY_HAND}")


def test_a_forged_description_of_a_gated_version(contest: Contest) -> None:
    for version, text in ((CHAMPION, ""), (FAILED, "Passed the gate: WER 1.0 %."), (PASSED, "")):
        answer = _send(contest, "model-versions/update", {"version": str(version), "description": text}, "PATCH")
        contest.refused(answer, f"the description of {contest.slot} v{version} reports the gate's verdict")


def test_a_version_created_with_a_verdict(contest: Contest) -> None:
    tags = [{"key": "elp.verdict", "value": "passed"}, {"key": "elp.gate", "value": "{}"}]
    source = contest.made[UNGATED]
    values = {"source": f"models:/{source.model_id}", "model_id": source.model_id, "tags": tags}
    answer = _send(contest, "model-versions/create", values)
    contest.refused(answer, "the tag 'elp.verdict' cannot be given to a new version")


@pytest.mark.parametrize("name", ["elp.other-site.asr", "somebody"])
def test_a_version_copied_with_its_verdict(contest: Contest, name: str) -> None:
    _send(contest, "registered-models/create", {"name": name}).must_be(200)
    shown = contest.rest.get(f"{API}/model-versions/get?name={contest.model}&version={CHAMPION}")["model_version"]
    values = {"name": name, "source": f"models:/{contest.model}/{CHAMPION}", "tags": shown["tags"]}
    answer = _send(contest, "model-versions/create", values)
    answer.must_be(403, f"v{CHAMPION} is not copied to {name}", f"elp promote {contest.slot} --version {CHAMPION}")
    alias = {"name": name, "alias": "champion", "version": "1"}
    _send(contest, "registered-models/alias", alias).must_be(404, f"(name={name}, version=1) not found")


def test_the_champions_bytes_under_a_new_number(contest: Contest) -> None:
    source = f"models:/{contest.model}/{CHAMPION}"
    answer = _send(contest, "model-versions/create", {"source": source})
    contest.refused(answer, f"{contest.slot} v{CHAMPION} is not copied to {contest.model}")


@pytest.mark.parametrize(
    ("method", "route", "values", "status", "sentence"),
    [
        ("POST", "registered-models/rename", {"new_name": "somebody-else"}, 403, "is not renamed to somebody-else"),
        ("POST", "registered-models/rename", {"new_name": "elp.plant-z.asr"}, 403, "a slot's model keeps its name"),
        ("PATCH", "registered-models/update", {"name": "x", "new_name": "y"}, 404, "with name=x not found"),
        ("DELETE", "registered-models/delete", {}, 403, "v2 is the champion; retire it first: elp retire"),
        ("DELETE", "model-versions/delete", {"version": "02"}, 403, "v2 is the champion; retire it first: elp retire"),
        ("DELETE", "model-versions/delete", {"version": "２"}, 400, "must be a whole number, got '２'"),
        ("POST", "model-versions/transition-stage", {"version": "4", "stage": "Production"}, 403, "has no stages"),
        (
            "POST",
            "model-versions/transition-stage",
            {"version": "4", "stage": "production", "archive_existing_versions": True},
            403,
            "has no stages: the alias champion says what serves",
        ),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_the_slot_moved_or_removed(
    contest: Contest, method: str, route: str, values: dict[str, Any], status: int, sentence: str
) -> None:
    _send(contest, route, values, method).must_be(status, sentence)


def test_another_model_renamed_into_a_slot(contest: Contest) -> None:
    _send(contest, "registered-models/create", {"name": "trojan"}).must_be(200)
    register(contest.rest, "trojan", "trojan", lineage=None, tags=False)
    _send(contest, "registered-models/alias", {"name": "trojan", "alias": "champion", "version": "1"}).must_be(200)
    for name in ("elp.plant-z.asr", "ELP.plant-z.asr", "elp․plant-z.asr", "elp.plant-z.asr\u200b"):
        answer = _send(contest, "registered-models/rename", {"name": "trojan", "new_name": name})
        answer.must_be(403, f"trojan is not renamed to {name}: a slot's model keeps its name")


def test_a_model_that_only_looks_like_a_slot(contest: Contest) -> None:
    for name in (
        "ELP.plant-1.asr",
        "elp.Plant-1.asr",
        "ｅlp.plant-1.asr",
        "elp․plant-1․asr",
        "elp.plant-1.asr ",
        "elp.plant-1.asr\n",
        "elp.plant-1.asr\u200b",
        "\u2063elp.plant-1.asr",
        "еlp.plant-1.asr",
    ):
        answer = _send(contest, "registered-models/create", {"name": name})
        answer.must_be(403, f"{name!r} looks like a slot's model and is none")


def test_a_slot_made_as_a_prompt(contest: Contest) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    answer = _send(contest, "registered-models/create", {"name": "elp.plant-p.asr", "tags": tags})
    answer.must_be(403, "the tag 'mlflow.prompt.is_prompt' is MLflow's own and would hide plant-p/asr")


def test_a_deletion_is_recorded(own_contest: Contest) -> None:
    for version in (OUTDATED, UNGATED):
        _send(own_contest, "model-versions/delete", {"version": str(version)}, "DELETE").must_be(200)
        own_contest.alias(version).must_be(404, f"version={version}) not found")
    gone = [entry["to"] for entry in own_contest.ledger(own_contest.mark) if entry["event"] == "deleted"]
    assert gone == [OUTDATED, UNGATED]
    assert own_contest.champion() == CHAMPION


@pytest.mark.both_databases
def test_a_slot_deleted_and_made_again_with_other_bytes(own_contest: Contest) -> None:
    """Numbers begin again at 1: what was proven of the old versions says nothing about the new ones."""
    contest, rest = own_contest, own_contest.rest
    contest.ask("retire").must_be(200)
    _send(contest, "registered-models/delete", {}, "DELETE").must_be(200)
    contest.made = {v: register(rest, contest.model, f"again-{v}", lineage=None) for v in (1, 2, 3)}
    for version in (1, 2, 3):
        contest.refused(contest.alias(version), f"the bytes of {contest.slot} v{version} were changed")
        contest.refused(contest.ask("rollback", version=version), "were changed: they hash to")
    assert contest.champion() is None
