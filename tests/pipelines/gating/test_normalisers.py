"""Scores under two normalisers are not compared, and verdicts on English stay as they were."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from elp_core.languages import LanguageConfig, NormaliserId
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks.asr import SpeechRecognition
from pipelines.errors import GateRefused
from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext
from pipelines.gating.normalisers import common_normaliser, present_normaliser, recorded_normaliser
from pipelines.gating.report import verdict_page
from pipelines.registry.description import verdict_rows
from pipelines.registry.policies import GatePolicy
from pipelines.registry.slot import Slot
from pipelines.registry.statements import parse_statement
from pipelines.registry.verdict import Verdict
from pipelines.registry.verdict_statement import ReportedRate, stored_verdict
from pipelines.texts.message_catalogue import texts
from tests.support import proof
from tests.support.scores import clips

SLOT = Slot("kojo", "asr")
NOW, BEFORE = NormaliserId("ja/2", "sha256:" + "2" * 64), NormaliserId("ja/1", "sha256:" + "1" * 64)
POLICY = GatePolicy(limit=0.5, resamples=200)


def test_one_normaliser_is_compared() -> None:
    assert common_normaliser(SLOT, NOW, (NOW, NOW), (NOW, NOW)) == NOW
    assert common_normaliser(SLOT, None, (None, None), None) is None


@pytest.mark.parametrize(
    ("golden", "challenger", "champion", "sentence"),
    [
        (
            NOW,
            (NOW, NOW),
            (BEFORE, BEFORE),
            r"champion of kojo/asr .* ja/1 \(1+\).* under ja/2 \(2+\).* elp retire kojo/asr",
        ),
        (NOW, (BEFORE, BEFORE), None, r"challenger of kojo/asr .* ja/1 .* under ja/2 .* elp train kojo/asr"),
        (NOW, (NOW, NOW), (None, None), "champion of kojo/asr was trained under the normaliser of English"),
        (
            BEFORE,
            (BEFORE, NOW),
            None,
            "this machine scores under ja/2 .*: install the language packages of that release",
        ),
    ],
)
def test_two_normalisers_are_refused_in_a_sentence(
    golden: NormaliserId | None,
    challenger: tuple[NormaliserId | None, NormaliserId | None],
    champion: tuple[NormaliserId | None, NormaliserId | None] | None,
    sentence: str,
) -> None:
    with pytest.raises(GateRefused, match=sentence):
        common_normaliser(SLOT, golden, challenger, champion)


def test_a_bundle_names_its_normaliser_unless_it_is_that_of_english() -> None:
    english, japanese = (
        SpeechRecognition(),
        SpeechRecognition(options=RecognitionOptions(language=LanguageConfig("ja"))),
    )
    assert (recorded_normaliser(english), present_normaliser(english)) == (None, None)
    assert (
        recorded_normaliser(japanese) == present_normaliser(japanese) == LanguageConfig("ja").resolve().normaliser_id()
    )
    assert recorded_normaliser(replace(japanese, normaliser=BEFORE)) == BEFORE


def test_the_normaliser_is_in_verdict_evidence_and_statement() -> None:
    scores = replace(clips([1, 0, 2, 0] * 5, speakers=4), metric="cer")
    verdict = decide_verdict(scores, None, POLICY, normaliser=BEFORE)
    evidence = Evidence(verdict, scores, None, EvidenceContext())
    assert (verdict.metric, evidence.recompute()) == ("cer", verdict)
    assert Verdict.from_json(json.loads(evidence.to_bytes())["verdict"]) == verdict
    also = (ReportedRate("cer_reading", 0.2, 0.3), ReportedRate("wer", 0.75, None))
    statement = proof.verdict(normaliser=BEFORE, metric="cer", also=also)
    assert parse_statement(statement.payload) == statement
    stored = stored_verdict(statement.payload)
    assert (stored.normaliser, stored.also) == (BEFORE, also)
    rows = verdict_rows(statement)
    assert ("normaliser of the transcripts", "ja/1 (111111111111)") in rows
    assert ("CER (reading), reported only", "20.00 % (champion 30.00 %)") in rows
    assert ("WER, reported only", "75.00 %") in rows


def test_english_verdicts_have_no_such_field() -> None:
    verdict = decide_verdict(clips([1, 0, 2, 0] * 5, speakers=4), None, POLICY)
    assert "normaliser" not in verdict.to_json()
    assert not {"normaliser", "also"} & json.loads(proof.verdict().payload)["predicate"].keys()


def test_the_report_names_the_language_of_what_was_said() -> None:
    scores = replace(
        clips([1, 0] * 10, speakers=4), metric="cer", references=("扉を開けて",) * 20, hypotheses=("扉",) * 20
    )
    context = EvidenceContext(challenger_also={"wer": 0.5, "cer_reading": 0.25, "words": 20.0})
    evidence = Evidence(decide_verdict(scores, None, POLICY, normaliser=BEFORE), scores, None, context)
    page = verdict_page(texts("en"), evidence, ())
    assert page.count('lang="ja">扉を開けて</td>') == 10
    assert "20 clips with 100 characters" in page
    assert "wrong characters" in page
    assert "CER (reading) of the challenger, reported only" in page
    assert "WER of the challenger, reported only" in page
    assert "wrong words" not in page


def test_a_declared_metric_is_in_the_verdict_and_others_stay_as_they_were() -> None:
    scores = replace(clips([1, 0, 2, 0] * 5, speakers=4), metric="cer")
    verdict = decide_verdict(scores, None, replace(POLICY, metric="cer"))
    assert verdict.to_json()["policy"]["metric"] == "cer"
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
    assert "metric" not in decide_verdict(scores, None, POLICY).to_json()["policy"]


def test_sizes_of_a_cer_are_given_in_characters_too() -> None:
    scores = replace(clips([2, 1, 2, 2], speakers=4), metric="cer")
    verdict = decide_verdict(scores, None, POLICY)
    assert verdict.outcome == "undecided"
    assert any("in characters: 20 now, about " in reason for reason in verdict.reasons)
    words = decide_verdict(replace(scores, metric="wer"), None, POLICY)
    assert not any("characters" in reason for reason in words.reasons)
