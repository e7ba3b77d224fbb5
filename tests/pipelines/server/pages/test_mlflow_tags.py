"""The tags and the descriptions that MLflow's own pages show, and those that every other client gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Response

from pipelines.registry.adapter_version import Tags
from pipelines.registry.description import describe_version, flagged, promoted
from pipelines.registry.slot import Slot
from pipelines.registry.slot_description import slot_description, with_champion
from pipelines.server.pages.mlflow_tags import REPORT, RESULT, page_tags, show_deciding_tags, versions_of_slots

TRAINED = {
    Tags.METRIC: "wer",
    Tags.VALUE: "0.1000",
    Tags.DATASET: "data/a/asr/v1",
    Tags.KEY: "k1",
    Tags.SEED: "0",
    Tags.DIRTY: "no",
    Tags.BUNDLE: "sha256:1a",
    Tags.VERDICT: "not gated",
    Tags.STATUS: "candidate",
}
JUDGED = {**TRAINED, Tags.VERDICT: "failed", Tags.STATUS: "rejected", Tags.GATE: "{}", "mine": "note"}
PROMOTED = {Tags.PROMOTED_AT: "2026-01-01T12:00:00+00:00", Tags.PROMOTED_BY: "ann", Tags.PROMOTED_WHY: "it passed"}
ADDRESS = "http://elp/elp/slots/a/asr/v1/report"


def test_what_decides_comes_first_and_the_lineage_is_left_to_the_description() -> None:
    text = describe_version("Failed.", [], JUDGED)
    shown = page_tags(JUDGED, text, ADDRESS)
    assert list(shown.items()) == [
        (Tags.STATUS, "rejected"),
        (Tags.VERDICT, "failed"),
        (RESULT, "WER 10.00 %"),
        (Tags.DATASET, "data/a/asr/v1"),
        (REPORT, ADDRESS),
        ("mine", "note"),
    ]


def test_a_version_without_a_verdict_has_no_report_and_its_value_is_of_the_validation() -> None:
    shown = page_tags(TRAINED, describe_version("Candidate.", [], TRAINED), ADDRESS)
    assert shown[RESULT] == "WER 10.00 % in validation"
    assert REPORT not in shown


def test_a_tag_that_the_description_lacks_is_shown() -> None:
    """A version that was registered by hand, or a description that was cut."""
    shown = page_tags(JUDGED, "Candidate.", ADDRESS)
    assert shown[Tags.KEY] == "k1"
    assert shown[Tags.BUNDLE] == "sha256:1a"
    assert Tags.GATE not in shown


@pytest.mark.parametrize("value", ["", "nan", "inf", "many"])
def test_a_value_that_is_no_number_is_shown_as_it_is(value: str) -> None:
    shown = page_tags({Tags.METRIC: "wer", Tags.VALUE: value}, "", ADDRESS)
    assert shown == {Tags.METRIC: "wer", Tags.VALUE: value}


def test_a_promotion_moves_into_the_description_and_is_replaced_by_the_next() -> None:
    text = promoted("Passed.\n\nrest", {**PROMOTED, Tags.PREDECESSOR: "1"})
    assert text.split("\n\n")[1] == (
        "**Promoted:** `2026-01-01T12:00:00+00:00` by `ann`, after version 1. Reason: `it passed`"
    )
    assert page_tags({**PROMOTED, Tags.PREDECESSOR: "1"}, text, "") == {}
    red = promoted(flagged(text, "until tomorrow"), PROMOTED)
    assert [part[:3] for part in red.split("\n\n")] == ["🔴 *", "Pas", "**P", "res"]
    assert "by `ann`, the first champion" in red
    assert red.count("**Promoted:**") == 1
    assert promoted("", PROMOTED).startswith("**Promoted:**")
    assert promoted(red, {}) == flagged("Passed.\n\nrest", "until tomorrow")


def test_names_and_reasons_of_users_are_shown_as_text() -> None:
    evil = {**PROMOTED, Tags.PROMOTED_BY: "`![x](http://evil)`", Tags.PROMOTED_WHY: "a\n\n# b | c"}
    line = promoted("Passed.", evil).split("\n\n")
    assert len(line) == 2
    assert line[1].endswith("Reason: `a # b | c`")
    assert "by `'![x](http://evil)'`" in line[1]


def test_the_page_of_a_slot_names_its_champion_and_keeps_what_users_wrote() -> None:
    slot = Slot("plant-a", "asr")
    text = slot_description(slot)
    assert "**Champion:** none." in text
    assert "[History, lineage and ledger of plant-a/asr](elp/slots/plant-a/asr)" in text
    assert with_champion(f"{text}\n\nAsk Ann.", slot, "v2") == f"{slot_description(slot, 'v2')}\n\nAsk Ann."
    assert with_champion(f"{text}\r\n\r\nAsk Ann.", slot, "v2").endswith("\n\nAsk Ann.")
    # release 0.1.0 wrote another text after the same beginning
    assert with_champion("Adapters of site plant-a for task asr. Each …", slot, "v2") == slot_description(slot, "v2")
    assert with_champion("", slot, "v2") == slot_description(slot, "v2")
    assert with_champion("Our own text.", slot, "v2") == "Our own text."


def _asked(path: str, answer: Any) -> Any:
    """What a reader gets of an answer of MLflow."""
    response = Response(json.dumps(answer), mimetype="application/json")
    show_deciding_tags(path, "http://elp", response)
    return json.loads(response.get_data())


def _version(name: str) -> dict[str, Any]:
    listed = [{"key": key, "value": value} for key, value in JUDGED.items()]
    # MLflow leaves an empty value out
    return {"name": name, "version": "1", "description": "Failed.", "tags": [*listed, {"key": "empty"}]}


AJAX = "/ajax-api/2.0/mlflow/"


@pytest.mark.parametrize(
    ("path", "nest"),
    [
        ("model-versions/get", lambda one: {"model_version": one}),
        ("model-versions/search", lambda one: {"model_versions": [one], "next_page_token": "t"}),
        ("registered-models/get", lambda one: {"registered_model": {"name": one["name"], "latest_versions": [one]}}),
    ],
    ids=["one", "list", "of a model"],
)
def test_only_a_page_gets_other_tags_than_are_stored(path: str, nest: Callable[[Any], Any]) -> None:
    answer = nest(_version("elp.a.asr"))
    assert _asked("/api/2.0/mlflow/" + path, answer) == answer
    shown = _asked(AJAX + path, answer)
    expected = nest({**_version("elp.a.asr"), "tags": []})
    [(slot, found)], [(_, wanted)] = list(versions_of_slots(shown)), list(versions_of_slots(expected))
    assert (slot, [tag["key"] for tag in found["tags"][:2]]) == (Slot("a", "asr"), [Tags.STATUS, Tags.VERDICT])
    assert {"key": REPORT, "value": ADDRESS} in found["tags"]
    found["tags"] = wanted["tags"] = []
    assert shown == expected


@pytest.mark.parametrize(
    "answer",
    [{"model_version": _version("mine")}, {}, {"registered_models": []}, {"model_version": {"name": "elp.a.asr"}}, []],
)
def test_answers_about_others_stay(answer: Any) -> None:
    assert _asked(AJAX + "model-versions/get", answer) == answer


def test_answers_of_other_kinds_stay() -> None:
    for response in (Response("no", mimetype="text/html"), Response("{", 403, mimetype="application/json")):
        before = response.get_data()
        show_deciding_tags(AJAX + "model-versions/get", "http://elp", response)
        assert response.get_data() == before
