from __future__ import annotations

import json
from dataclasses import replace

from pipelines.comparison.page import render
from pipelines.comparison.result import Comparison, findings, foresee, markdown
from pipelines.comparison.trial import Trial
from pipelines.comparison.trials import Failure
from pipelines.plain import plain

FULL = Trial(
    "full", 1.0, "wer", 0.10, 0.07, 0.13, 300, 16.0, 240, 5_000_000, 20_000_000, 22_000_000, 600.0, 900, 10,
    2_000_000_000, 0.02, "cpu", 2,
)  # fmt: skip
ELP = replace(FULL, method="elp", value=0.11, lower=0.08, upper=0.14, parameters=500_000, bundle_bytes=2_000_000)
WEAK = replace(FULL, method="weighted-sum", value=0.4, lower=0.35, upper=0.45, parameters=10_000, bundle_bytes=50_000)
CURVE = tuple(
    replace(ELP, share=share, minutes=16 * share, value=value)
    for share, value in ((0.125, 0.31), (0.25, 0.22), (0.5, 0.16), (1.0, 0.11))
)


LOST = Failure("lora-ffn", 1.0, "LoRA needs peft")


def comparison() -> Comparison:
    ahead, words = foresee(CURVE)
    methods = (FULL, ELP, WEAK)
    return Comparison(
        "plant-a/asr", "data/plant-a/asr/v1", "golden/plant-a/asr/v1", "elp:tiny", "sha256:" + "0" * 64, "wer", 0.95,
        False, "cpu, 2 threads", methods, {t.method: f"about {t.method}" for t in methods}, "elp", CURVE, ahead,
        (LOST,), findings(methods, words, (LOST,)),
    )  # fmt: skip


def test_the_findings_name_the_smallest_method_that_cannot_be_told_from_the_best() -> None:
    said = findings((FULL, ELP, WEAK), "")
    assert said[0].startswith("Lowest WER: full, 10.00 %")
    assert "elp, 11.00 % with 0.50 M trainable parameters, 10 % of full's" in said[1]
    assert "elp against full fine-tuning: +1.0 points at 10 %" in said[2]
    assert "overlap" in said[2]


def test_intervals_that_lie_apart_are_told_apart() -> None:
    said = findings((FULL, replace(ELP, value=0.3, lower=0.25, upper=0.35)), "")
    assert not any("smallest" in sentence for sentence in said)
    assert "lie apart" in said[-1]


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


def test_an_interval_that_one_speaker_cannot_give_is_unknown_and_plain_json() -> None:
    alone = replace(FULL, upper=None)
    said = findings((alone, ELP), "")
    assert "(unknown)" in said[0]
    assert "overlap" in said[-1]
    assert "Infinity" not in json.dumps(plain(replace(comparison(), methods=(alone, ELP))))
    assert "unknown" in render(replace(comparison(), methods=(alone, ELP)))
