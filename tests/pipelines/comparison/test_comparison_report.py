from __future__ import annotations

import json
from dataclasses import replace

from pipelines.comparison.compare_methods import predict_curve
from pipelines.comparison.comparison_report import comparison_html, comparison_markdown, draw_comparison
from pipelines.comparison.findings import Difference, findings
from pipelines.comparison.method_comparison import MethodComparison
from pipelines.comparison.trial_runner import FailedTrial
from pipelines.registry.plain_json import plain
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.support.both_languages import compare_pages
from tests.support.compared import ELP, FULL, WEAK, differences_of
from tests.support.html import read_html

CURVE = tuple(
    replace(ELP, share=share, minutes=16 * share, value=value)
    for share, value in ((0.125, 0.31), (0.25, 0.22), (0.5, 0.16), (1.0, 0.11))
)


LOST = FailedTrial("lora-ffn", 1.0, "LoRA needs peft")


def comparison() -> MethodComparison:
    ahead, words = predict_curve(CURVE)
    methods = (FULL, ELP, WEAK)
    differences = differences_of(3.0, methods)
    return MethodComparison(
        "plant-a/asr", "data/plant-a/asr/v1", "golden/plant-a/asr/v1", "elp:tiny", "sha256:" + "0" * 64, "wer", 0.95,
        False, "cpu, 2 threads", methods, tuple(differences), {t.method: f"about {t.method}" for t in methods}, "elp",
        CURVE, ahead, (LOST,), findings("asr", methods, differences, words, 0.02, (LOST,)),
    )  # fmt: skip


def test_storage_counts_the_backbone_once_for_all_slots() -> None:
    row = next(line for line in comparison_markdown(comparison()).splitlines() if line.startswith("| elp |"))
    assert "| 24.0 MB | 42.0 MB | 222.0 MB |" in row


def test_the_curve_looks_ahead_to_twice_and_four_times_the_audio() -> None:
    found = comparison()
    assert [p.minutes for p in found.ahead] == [32.0, 64.0]
    assert "predicted" in comparison_markdown(found)
    assert "With 32 minutes instead of 16" in found.findings[-2]
    assert found.findings[-1] == "lora-ffn on 100 % of the audio failed: LoRA needs peft"


def test_a_slot_that_characters_decide_is_shown_by_them_with_words_next_to_it() -> None:
    also = {"cer_reading": 0.031, "wer": 0.84}
    methods = tuple(replace(trial, metric="cer", also=also) for trial in (FULL, ELP, WEAK))
    curve = tuple(replace(trial, metric="cer", also=also) for trial in CURVE)
    found = replace(
        comparison(), metric="cer", methods=methods, curve=curve, normaliser="ja/1 (ff71511c8aba)",
        findings=findings("asr", methods, differences_of(3.0, methods), "", 0.02),
    )  # fmt: skip
    text, page = comparison_markdown(found), comparison_html(texts("en"), found, draw_comparison(found))
    assert "| method | about | CER | interval | CER (reading), reported only | WER, reported only | against" in text
    assert "| minutes of training audio | clips | CER | interval | CER (reading), reported only | WER, rep" in text
    assert "| elp | about elp | 11.00 % | 8.0 … 14.0 % | 3.10 % | 84.00 % | +1.0 points" in text
    assert "| predicted |" in text
    assert {len(row.split(" | ")) for row in text.splitlines() if row.startswith("| 32.0")} == {6}
    for shown in (text, page):
        assert "The CER counts 300 characters. Transcripts and answers are under the normaliser ja/1" in shown
        assert "Lowest CER: full" in shown
    assert "CER against trainable parameters" in page
    assert page.count("WER") == 2, "the heads of two columns"


def test_the_page_is_one_file_that_loads_nothing() -> None:
    found = comparison()
    pictures = draw_comparison(found)
    page, japanese = (comparison_html(texts(language), found, pictures) for language in LANGUAGES)
    compare_pages(read_html(page), read_html(japanese))
    assert page.count('src="data:image/png;base64,') == 2
    assert "://" not in page
    assert "plant-a/asr" in page


def test_the_table_holds_each_method_against_the_best() -> None:
    rows = [
        line
        for line in comparison_markdown(comparison()).splitlines()
        if line.startswith(("| full", "| elp", "| weighted"))
    ]
    assert [row.split(" | ")[4] for row in rows] == [
        "the best",
        "+1.0 points (-2.0 … +4.0)",
        "+30.0 points (+27.0 … +33.0)",
    ]


def test_an_interval_that_one_speaker_cannot_give_is_unknown_and_plain_json() -> None:
    alone, differences = replace(FULL, upper=None), (Difference("elp", "full", 0.01, None, None),)
    said = findings("asr", (alone, ELP), differences, "", 0.02)
    assert "(unknown)" in said[0]
    assert "+1.0 points (interval unknown) at 10 %" in said[-1]
    assert "one speaker is not enough to distinguish them" in said[-1]
    found = replace(comparison(), methods=(alone, ELP), differences=differences)
    assert "Infinity" not in json.dumps(plain(found))
    assert "unknown" in comparison_html(texts("en"), found, draw_comparison(found))
