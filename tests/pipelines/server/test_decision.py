"""The cards of a slot's page: plain words, the cost, the risks, and the one next step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.number_text import in_words
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import NamedOutcome, VerdictStatement
from pipelines.server.read_models.decision import Before, Decision, Risk, find_decision
from pipelines.server.read_models.signed_records import RecordedVerdict
from pipelines.server.read_models.slot_page import SlotPage, VersionRow
from tests.support.registry_rows import verdict

SLOT = Slot("plant-a", "asr")
AT = datetime(2026, 7, 1, tzinfo=UTC)


def _row(version: int, statement: VerdictStatement | None, *aliases: str, stale: bool = False) -> VersionRow:
    known = AdapterVersion(
        slot=SLOT, version=version, run_id=f"run-{version}", source="", created=AT.isoformat(), tags={Tags.STATUS: "x"},
        aliases=aliases,
    )  # fmt: skip
    judged = None if statement is None else RecordedVerdict("d", version, "k", AT.isoformat(), statement)
    return VersionRow(known, judged, None, stale, None)


def _page(*rows: VersionRow) -> SlotPage:
    champion = next((row.version for row in rows if "champion" in row.version.aliases), None)
    return SlotPage(SLOT, rows, champion, None, None, "", None, None, (), (), None)


def _verdict(
    version: int, outcome: str, champion: tuple[int, str] | None = (1, "c"), **details: Any
) -> VerdictStatement:
    made = verdict(SLOT, version, "sha256:" + "0" * 64, outcome, champion, AT)
    assert made.details
    return replace(made, details=replace(made.details, **details))


def _decide(*rows: VersionRow, metrics: dict[str, dict[str, float]] | None = None) -> Decision:
    return find_decision(_page(*rows), metrics or {})


CHAMPION = _row(1, _verdict(1, "passed", None), "champion")


@pytest.mark.parametrize(
    ("contender", "step"),
    [
        (None, "Nothing to decide: v1 serves."),
        (_row(2, None), "v2 was not gated: elp gate plant-a/asr. Until then, v1 serves."),
        (_row(2, _verdict(2, "passed")), "Decide whether v2 becomes champion. Until then, v1 serves."),
        (_row(2, _verdict(2, "passed"), stale=True), "v2 passed against an older champion: gate it again"),
        (
            _row(2, _verdict(2, "undecided", reasons=("too few clips.",))),
            "v2 is undecided, so v1 serves: more test audio would decide. too few clips.",
        ),
        (_row(2, _verdict(2, "failed", reasons=("8 points worse",))), "v2 failed, so v1 serves. 8 points worse."),
    ],
)
def test_there_is_one_next_step(contender: VersionRow | None, step: str) -> None:
    assert _decide(*filter(None, (contender, CHAMPION))).next_step.startswith(step)


def test_without_a_champion_nothing_serves() -> None:
    assert "nothing serves" in _decide(_row(1, _verdict(1, "failed", None))).next_step


def test_numbers_are_sentences() -> None:
    found = _decide(_row(2, _verdict(2, "passed")), CHAMPION)
    assert found.champion_words == "About 15 of 100 words are wrong (14 to 16)."
    assert found.change == (
        "WER −5.00 points against v1: fewer errors, between −6.00 points and −4.00 points with 95 % certainty"
    )


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((-0.01, 0.01), "no clear difference"),
        ((0.01, 0.02), "more errors"),
        ((None, None), "its interval is unknown"),
        (None, "its interval is unknown"),
    ],
)
def test_a_difference_is_called_so_only_if_it_is_certain(interval: Any, words: str) -> None:
    assert words in _decide(_row(2, replace(_verdict(2, "failed"), interval=interval)), CHAMPION).change


@pytest.mark.parametrize(
    ("metric", "share", "interval", "words"),
    [
        ("cer", 0.0342, (-0.01, 0.06), "About 3.4 of 100 characters are wrong (0 to 6)."),
        ("eer", 0.05, (None, None), "About 5 of 100 comparisons of voices are decided wrongly."),
        ("error_rate", 0.001, None, "About 0.1 of 100 recordings get a wrong answer."),
        ("wer", 1.0076, None, "There are more errors than words."),
        ("wer", float("nan"), None, ""),
        ("own_metric", 0.1, None, ""),
    ],
)
def test_a_metric_in_words(metric: str, share: float, interval: Any, words: str) -> None:
    assert in_words(metric, share, interval) == words


def test_what_was_not_checked_is_unknown_and_never_good() -> None:
    assert _decide(_row(2, None), CHAMPION).risks == (
        Risk("unknown", "the gate has not measured it: nothing is known of its errors"),
    )
    old = replace(_verdict(2, "passed"), details=None)
    assert [risk.tone for risk in _decide(_row(2, old), CHAMPION).risks] == ["unknown"]


def test_every_check_and_condition_is_a_risk_or_counted() -> None:
    checks = (
        NamedOutcome("bundle", "passed"),
        NamedOutcome("interference", "undecided"),
        NamedOutcome("size", "failed"),
    )
    slices = (NamedOutcome("factory-5db", "failed"), NamedOutcome("car", "undecided"))
    found = _decide(_row(2, _verdict(2, "failed", checks=checks, slices=slices, closed_set=True)), CHAMPION)
    assert [(risk.tone, risk.text) for risk in found.risks] == [
        ("bad", "not passed: size"),
        ("bad", "worse in the condition factory-5db"),
        ("unknown", "not decided: interference"),
        ("unknown", "too little audio of the condition car"),
        ("unknown", "speakers of the golden set are in the training data: other people may do worse"),
        ("good", "1 of 5 checks passed"),
    ]


def test_what_was_known_before_the_training_is_the_contenders() -> None:
    measured = {"run-2": {"before_wer": 0.98, "wer": 0.1}, "run-1": {"before_wer": 0.97}}
    before = _decide(_row(2, None), CHAMPION, metrics=measured).before
    assert before == Before("wer", 0.98, 0.1, 2)
    assert before.words == "About 98 of 100 words are wrong."
    assert _decide(CHAMPION, metrics=measured).before == Before("wer", 0.97, None, 1)
    assert _decide(_row(2, None), CHAMPION, metrics={"run-1": {"before_wer": 0.97}}).before is None


def test_the_cost_is_the_contenders_and_what_was_not_recorded_is_unknown() -> None:
    metrics = {"run-2": {"train_seconds": 90.0, "trainable_parameters": 2e6, "backbone_parameters": 9e7, "wer": 0.1}}
    cost = _decide(_row(2, None), CHAMPION, metrics=metrics).cost
    assert cost
    assert (cost.seconds, cost.bytes) == (90.0, None)
    assert cost.share == pytest.approx(2 / 90)
    old = _decide(_row(2, None), CHAMPION).cost
    assert old
    assert (old.share, old.seconds) == (None, None)
