from __future__ import annotations

import json
from dataclasses import replace

from pipelines.comparison.comparison_page import render
from pipelines.comparison.difference import Difference
from pipelines.comparison.findings import findings
from pipelines.comparison.result import Comparison, foresee, markdown
from pipelines.comparison.trials import Failure
from pipelines.registry.plain_json import plain
from tests.support.compared import ELP, FULL, WEAK, told_apart_by

CURVE = tuple(
    replace(ELP, share=share, minutes=16 * share, value=value)
    for share, value in ((0.125, 0.31), (0.25, 0.22), (0.5, 0.16), (1.0, 0.11))
)


LOST = Failure("lora-ffn", 1.0, "LoRA needs peft")


def comparison() -> Comparison:
    ahead, words = foresee(CURVE)
    methods = (FULL, ELP, WEAK)
    told = told_apart_by(3.0, methods)
    return Comparison(
        "plant-a/asr", "data/plant-a/asr/v1", "golden/plant-a/asr/v1", "elp:tiny", "sha256:" + "0" * 64, "wer", 0.95,
        False, "cpu, 2 threads", methods, tuple(told), {t.method: f"about {t.method}" for t in methods}, "elp",
        CURVE, ahead, (LOST,), findings("asr", methods, told, words, (LOST,)),
    )  # fmt: skip


def test_storage_counts_the_backbone_once_for_all_slots() -> None:
    row = next(line for line in markdown(comparison()).splitlines() if line.startswith("| elp |"))
    assert "| 24.0 MB | 42.0 MB | 222.0 MB |" in row


def test_the_curve_looks_ahead_to_twice_and_four_times_the_audio() -> None:
    found = comparison()
    assert [p.minutes for p in found.ahead] == [32.0, 64.0]
    assert "predicted" in markdown(found)
    assert "With 32 minutes instead of 16" in found.findings[-2]
    assert found.findings[-1] == "lora-ffn on 100 % of the audio failed: LoRA needs peft"


def test_the_page_is_one_file_that_loads_nothing() -> None:
    page = render(comparison())
    assert page.count('src="data:image/png;base64,') == 2
    assert "http" not in page.replace("http-equiv", "")
    assert "plant-a/asr" in page


def test_the_table_holds_each_method_against_the_best() -> None:
    rows = [line for line in markdown(comparison()).splitlines() if line.startswith(("| full", "| elp", "| weighted"))]
    assert [row.split(" | ")[4] for row in rows] == [
        "the best",
        "+1.0 points (-2.0 … +4.0)",
        "+30.0 points (+27.0 … +33.0)",
    ]


def test_an_interval_that_one_speaker_cannot_give_is_unknown_and_plain_json() -> None:
    alone, told = replace(FULL, upper=None), (Difference("elp", "full", 0.01, None, None),)
    said = findings("asr", (alone, ELP), told, "")
    assert "(unknown)" in said[0]
    assert "+1.0 points (interval unknown) at 10 %" in said[-1]
    assert "one speaker does not tell the two apart" in said[-1]
    found = replace(comparison(), methods=(alone, ELP), differences=told)
    assert "Infinity" not in json.dumps(plain(found))
    assert "unknown" in render(found)
