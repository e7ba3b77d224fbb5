from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.comparison.learning_curve import fit_power_law, minutes_for
from pipelines.errors import UsageError
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from pipelines.reporting.poc_page import poc_page, split_setting
from pipelines.reporting.poc_plan import AIM, PUBLISHED, RECORDINGS, make_poc_plan
from pipelines.reporting.sample_size import GoldenDesign
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.docs.pages import ROOT
from tests.support.english_texts import english_texts
from tests.support.html import read_html
from tests.support.reported_site import SLOT, write_compared

SIC = Slot("plant-b", "sic")


def _workspace(root: Path, text: str = "") -> Workspace:
    return Workspace(root, read_settings(text))


def test_the_golden_set_and_the_audio_follow_from_the_gate_and_the_slots_own_curve(tmp_path: Path) -> None:
    write_compared(tmp_path / ".elp")
    plan = make_poc_plan(_workspace(tmp_path), SLOT, 0.15)
    design, made = RECORDINGS["asr"], (16.0 * 0.125, 16.0 * 0.25, 16.0 * 0.5, 16.0)
    law = fit_power_law(made, (0.31, 0.22, 0.16, 0.11), 0.5 / 300)
    assert law is not None
    assert plan.train_minutes == pytest.approx(minutes_for(law, AIM * 0.15))
    assert (plan.curve, plan.curve_source) == ("slot", "plant-a/asr 0123456789abcdef")
    planned = GoldenDesign(AIM * 0.15, 0.15, design.spread, design.clips, design.tokens)
    assert plan.power == planned.power(plan.golden) >= 0.8 > planned.power(plan.golden - 1)
    assert plan.train_speakers == max(plan.golden, math.ceil(plan.train_minutes * 60 / (design.clips * design.seconds)))
    assert plan.label_hours == pytest.approx(plan.minutes / 60 * 6)
    assert plan.weeks == math.ceil(plan.label_hours / 20)


@pytest.mark.parametrize(
    ("text", "metric", "tokens", "words"),
    [
        ("", "wer", 8.0, ("words", "単語")),
        ("language: ja", "cer", 20.0, ("characters", "文字")),
        ("defaults: {asr: {gate: {metric: cer}}}", "cer", 20.0, ("characters", "文字")),
    ],
)
def test_the_metric_that_decides_gives_the_words_the_clips_and_the_curve(
    tmp_path: Path, text: str, metric: str, tokens: float, words: tuple[str, str]
) -> None:
    workspace = _workspace(tmp_path, text)
    write_compared(tmp_path / ".elp", metric="cer" if metric == "wer" else "wer")
    write_compared(tmp_path / ".elp", "00000000000000aa", metric=metric, backbone="models/other")
    plan = make_poc_plan(workspace, SLOT, 0.15)
    assert (plan.metric, plan.recording.tokens, plan.curve) == (metric, tokens, "published")
    for language, counted in zip(LANGUAGES, words, strict=True):
        page = poc_page(texts(language), plan, workspace.settings.report)
        assert counted in page
        assert {"words": "characters", "characters": "100 words", "単語": "文字", "文字": "単語"}[counted] not in page


def test_a_target_that_decides_little_has_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = _workspace(tmp_path)
    # without a target it is the limit of the gate, half of all words
    page = poc_page(texts("en"), make_poc_plan(workspace, SLOT), workspace.settings.report)
    assert "an adapter with up to 50 errors in 100 words is rolled out" in page
    assert "rolled out" not in poc_page(texts("en"), make_poc_plan(workspace, SLOT, 0.2), workspace.settings.report)
    with pytest.raises(UsageError, match="the target is 1, expected an error rate as a share above 0 and below 1"):
        make_poc_plan(workspace, SLOT, 1)
    (tmp_path / "elp.yaml").write_text("")
    assert run(["-w", str(tmp_path), "poc", "plant-a", "--out", str(tmp_path / "p.html")]) == 0
    assert "an error rate of up to 50 % is rolled out" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["/proc/x.html", "{here}/elp.yaml/x.html", "{here}/elp.yaml/a/b.html", "/proc/a/x"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    (tmp_path / "elp.yaml").write_text("")
    named = place.format(here=tmp_path)
    reason = "No such file or directory" if place.startswith("/proc") else f"{tmp_path / 'elp.yaml'} is a file, not a"
    assert run(["-w", str(tmp_path), "poc", "plant-a", "--target", "0.15", "--out", named]) == 1
    shown = capsys.readouterr().err
    assert f"error: {named}: {reason}" in shown
    assert "correct the path" in shown
    # another verb, and another option
    assert run(["root", "key", named]) == 1
    assert f"error: {named}: {reason}" in capsys.readouterr().err


def test_without_a_curve_of_the_task_the_published_one_is_named(tmp_path: Path) -> None:
    write_compared(tmp_path / ".elp")
    plan = make_poc_plan(_workspace(tmp_path), SIC, 0.2)
    assert (plan.curve, plan.curve_source) == ("published", "")
    assert "No learning curve of this task" in poc_page(texts("en"), plan, _workspace(tmp_path).settings.report)
    other = make_poc_plan(_workspace(tmp_path), Slot("plant-b", "asr"), 0.2)
    assert other.curve == "task"
    page = (ROOT / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"Learning curve of ELP for intent: (.*?); each", page)
    shown = [(float(m), float(v)) for v, m in re.findall(r"([\d.]+)(?: %)? with ([\d.]+)", line)]
    assert [(one.minutes, round(100 * one.value, 1)) for one in PUBLISHED] == shown


def test_the_setting_on_the_page_is_read_and_gives_the_golden_set_its_share(tmp_path: Path) -> None:
    plan = make_poc_plan(_workspace(tmp_path), SIC, 0.2)
    read = read_settings(split_setting(plan)).for_slot(SIC)
    assert read.data.test_share == pytest.approx(plan.golden / plan.speakers, abs=0.005)
    assert read.gate.limit == 0.2


def test_a_closed_set_is_planned_in_clips(tmp_path: Path) -> None:
    text = "slots: {plant-b/sic: {data: {closed_set: true, split_by: clip}}}"
    plan = make_poc_plan(_workspace(tmp_path, text), SIC, 0.2)
    assert plan.golden_minutes == pytest.approx(plan.golden * 3.0 / 60)
    assert plan.minutes == pytest.approx(plan.train_minutes + 1.5 * plan.golden_minutes)
    assert f"{plan.golden} clips" in poc_page(texts("en"), plan, _workspace(tmp_path).settings.report)


def test_a_target_out_of_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the target is 15, expected an error rate as a share"):
        make_poc_plan(_workspace(tmp_path), SLOT, 15)
    with pytest.raises(UsageError, match=r"no golden set of a reasonable size shows an error rate of 0.01 %"):
        make_poc_plan(_workspace(tmp_path), SIC, 0.0001)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("slot", [SLOT, SIC], ids=str)
def test_the_plan_is_one_page_in_both_languages(tmp_path: Path, language: str, slot: Slot) -> None:
    workspace = _workspace(tmp_path)
    page = poc_page(texts(language), make_poc_plan(workspace, slot, 0.2), workspace.settings.report)
    assert f'<html lang="{language}">' in page
    assert "%(" not in page
    assert "://" not in page
    assert language == "en" or english_texts(read_html(page)) == []
