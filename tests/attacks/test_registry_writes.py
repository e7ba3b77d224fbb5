"""Everything else that MLflow lets a client write about a model or a version."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, FAILED, OUTDATED, PASSED, UNGATED, Contest
from tests.support.rest import Answer
from tests.support.versions_by_hand import API, register

OWN_TAGS = [
    "elp.verdict",
    "elp.status",
    "elp.gate",
    "elp.golden",
    "elp.metric",
    "elp.value",
    "elp.promoted_by",
    "elp.promoted_at",
    "elp.promoted_why",
    "elp.predecessor",
    "elp.history",
    "elp.override",
    "elp.bundle",
    "elp.key",
    "elp.fingerprint",
    "elp.dataset",
    "elp.anything",
    "ELP.verdict",
    "ｅlp.verdict",
    "elp․verdict",
    " elp.verdict",
    "elp.\u200bverdict",
]


def _post(contest: Contest, route: str, values: dict[str, Any], method: str = "POST") -> Answer:
    return contest.rest(method, f"{API}/{route}", values)


@pytest.mark.parametrize("key", OWN_TAGS, ids=ascii)
def test_a_forged_tag_on_a_version(contest: Contest, key: str) -> None:
    values = {"name": contest.model, "version": str(FAILED), "key": key, "value": "passed"}
    contest.refused(_post(contest, "model-versions/set-tag", values))


@pytest.mark.parametrize("key", ["elp.verdict", "elp.bundle", "elp.key", "elp.status"])
def test_a_tag_deleted_from_a_version(contest: Contest, key: str) -> None:
    values = {"name": contest.model, "version": str(FAILED), "key": key}
    contest.refused(_post(contest, "model-versions/delete-tag", values, "DELETE"))


@pytest.mark.parametrize("version", ["04", "+4", "４", 4], ids=ascii)
def test_a_forged_tag_with_the_version_spelled_oddly(contest: Contest, version: object) -> None:
    values = {"name": contest.model, "version": version, "key": "elp.verdict", "value": "passed"}
    answer = _post(contest, "model-versions/set-tag", values)
    assert 400 <= answer.status < 500


@pytest.mark.parametrize("route", ["registered-models/set-tag", "model-versions/set-tag"])
@pytest.mark.parametrize("key", ["mlflow.prompt.is_prompt", "mlflow.prompt.text", "mlflow.modelVersions"])
def test_a_slot_hidden_from_every_list_as_a_prompt(contest: Contest, route: str, key: str) -> None:
    values = {"name": contest.model, "version": str(FAILED), "key": key, "value": "true"}
    contest.refused(_post(contest, route, values))


@pytest.mark.parametrize("key", ["elp.site", "elp.task", "elp.champion", "ELP.site"])
def test_a_forged_tag_on_the_model(contest: Contest, key: str) -> None:
    values = {"name": contest.model, "key": key, "value": "x"}
    contest.refused(_post(contest, "registered-models/set-tag", values))
    contest.refused(_post(contest, "registered-models/delete-tag", values, "DELETE"))


@pytest.mark.parametrize("version", [CHAMPION, FAILED, PASSED])
def test_a_forged_description_of_a_gated_version(contest: Contest, version: int) -> None:
    values = {"name": contest.model, "version": str(version), "description": "Passed the gate: WER 1.0 %."}
    contest.refused(_post(contest, "model-versions/update", values, "PATCH"))
    contest.refused(_post(contest, "model-versions/update", {**values, "description": ""}, "PATCH"))


def test_a_version_created_with_a_verdict(contest: Contest) -> None:
    tags = [{"key": "elp.verdict", "value": "passed"}, {"key": "elp.gate", "value": "{}"}]
    source = contest.made[UNGATED]
    values = {"name": contest.model, "source": f"models:/{source.model_id}", "model_id": source.model_id, "tags": tags}
    contest.refused(_post(contest, "model-versions/create", values))


@pytest.mark.parametrize("name", ["elp.other-site.asr", "somebody"])
def test_a_version_copied_with_its_verdict(contest: Contest, name: str) -> None:
    _post(contest, "registered-models/create", {"name": name})
    shown = contest.rest.get(f"{API}/model-versions/get?name={contest.model}&version={CHAMPION}")["model_version"]
    values = {"name": name, "source": f"models:/{contest.model}/{CHAMPION}", "tags": shown["tags"]}
    answer = _post(contest, "model-versions/create", values)
    if name.startswith("elp."):
        assert answer.status == 403
    alias = {"name": "elp.other-site.asr", "alias": "champion", "version": "1"}
    assert _post(contest, "registered-models/alias", alias).status >= 400


def test_the_champions_bytes_under_a_new_number(own_contest: Contest) -> None:
    values = {"name": own_contest.model, "source": f"models:/{own_contest.model}/{CHAMPION}"}
    answer = _post(own_contest, "model-versions/create", values)
    if answer.status == 200:
        own_contest.refused(own_contest.alias(7))
    assert own_contest.champion() == CHAMPION


@pytest.mark.parametrize(
    ("method", "route", "values"),
    [
        ("POST", "registered-models/rename", {"new_name": "somebody-else"}),
        ("POST", "registered-models/rename", {"new_name": "elp.plant-z.asr"}),
        ("PATCH", "registered-models/update", {"name": "x", "new_name": "y"}),
        ("DELETE", "registered-models/delete", {}),
        ("DELETE", "model-versions/delete", {"version": str(CHAMPION)}),
        ("DELETE", "model-versions/delete", {"version": f"0{CHAMPION}"}),
        ("DELETE", "model-versions/delete", {"version": "２"}),
        ("POST", "model-versions/transition-stage", {"version": str(FAILED), "stage": "Production"}),
        (
            "POST",
            "model-versions/transition-stage",
            {"version": str(FAILED), "stage": "production", "archive_existing_versions": True},
        ),
    ],
    ids=lambda value: ascii(value) if isinstance(value, dict) else str(value),
)
def test_the_slot_moved_or_removed(contest: Contest, method: str, route: str, values: dict[str, Any]) -> None:
    answer = _post(contest, route, {"name": contest.model, **values}, method)
    assert answer.status in (400, 403, 404), answer.text


def test_another_model_renamed_into_a_slot(contest: Contest) -> None:
    rest = contest.rest
    _post(contest, "registered-models/create", {"name": "trojan"})
    register(rest, "trojan", "trojan", lineage=None, tags=False)
    _post(contest, "registered-models/alias", {"name": "trojan", "alias": "champion", "version": "1"})
    for name in ("elp.plant-z.asr", "ELP.plant-z.asr", "elp․plant-z.asr", "elp.plant-z.asr\u200b"):
        answer = _post(contest, "registered-models/rename", {"name": "trojan", "new_name": name})
        assert answer.status == 403, f"{name!a}: {answer.text}"


@pytest.mark.parametrize(
    "name",
    [
        "ELP.plant-1.asr",
        "elp.Plant-1.asr",
        "ｅlp.plant-1.asr",
        "elp․plant-1․asr",
        "elp.plant-1.asr ",
        "elp.plant-1.asr\n",
        "elp.plant-1.asr\u200b",
        "\u2063elp.plant-1.asr",
        "еlp.plant-1.asr",
    ],
    ids=ascii,
)
def test_a_model_that_only_looks_like_a_slot(contest: Contest, name: str) -> None:
    assert _post(contest, "registered-models/create", {"name": name}).status == 403


def test_a_slot_made_as_a_prompt(contest: Contest) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    answer = _post(contest, "registered-models/create", {"name": "elp.plant-p.asr", "tags": tags})
    assert answer.status == 403


@pytest.mark.parametrize("version", [OUTDATED, UNGATED])
def test_a_deletion_is_written_down(own_contest: Contest, version: int) -> None:
    answer = _post(own_contest, "model-versions/delete", {"name": own_contest.model, "version": str(version)}, "DELETE")
    assert answer.status == 200, answer.text
    gone = [entry for entry in own_contest.ledger(own_contest.mark) if entry["event"] == "deleted"]
    assert [entry["to"] for entry in gone] == [version]
    assert own_contest.alias(version).status in (403, 404)
    assert own_contest.champion() == CHAMPION


def test_a_slot_deleted_and_made_again_with_other_bytes(own_contest: Contest) -> None:
    """Numbers begin again at 1: what was proven of the old ones says nothing about the new ones."""
    contest, rest = own_contest, own_contest.rest
    assert contest.ask("retire").status == 200
    assert _post(contest, "registered-models/delete", {"name": contest.model}, "DELETE").status == 200
    contest.made = {v: register(rest, contest.model, f"again-{v}", lineage=None) for v in (1, 2, 3)}
    for version in (1, 2, 3):
        contest.refused(contest.alias(version))
        contest.refused(contest.ask("rollback", version=version))
    assert contest.champion() is None
