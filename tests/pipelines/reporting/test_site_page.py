from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pipelines.local.report_settings import ReportSettings, stated_names
from pipelines.local.schedule_settings import read_entries
from pipelines.registry.backbone_licence import LicenceFault, LicenceRule
from pipelines.registry.verdict_statement import NamedOutcome, VerdictStatement
from pipelines.reporting.comparison_records import workspace_comparisons
from pipelines.reporting.full_copies import FullCopies
from pipelines.reporting.gain_words import gain_sentence, other_comparison_sentence, rate_sentence
from pipelines.reporting.measured_gain import OWN_ADAPTER, gain_over_former
from pipelines.reporting.next_step_words import next_step
from pipelines.reporting.risk_words import slot_risks
from pipelines.reporting.site_page import site_page
from pipelines.reporting.site_report import MissingAudio, slot_gains
from pipelines.reporting.yearly_cost import SlotAmounts, starts_in_a_year, yearly_costs
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.support.english_texts import english_texts
from tests.support.html import read_html
from tests.support.proof import DETAILS, verdict
from tests.support.reported_site import judged, reported_site, write_compared

EN, JA = texts("en"), texts("ja")


def _shown(page: str) -> str:
    """The words of a page, one blank between two of them."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def _gain(**over: object) -> str:
    gain = gain_over_former(verdict(**over), "d" * 64)
    assert gain is not None
    return gain_sentence(EN, gain)


def test_a_gain_is_said_with_its_interval_in_whole_words() -> None:
    assert _gain(challenger=0.08, champion=0.2, interval=(-0.16, -0.08)) == (
        "Compared with the champion before (v2), of 100 words 12 fewer are wrong (8 instead of 20). With a golden set "
        "of this size, it may be between 8 and 16 fewer."
    )
    assert _gain(challenger=0.2, champion=0.08, interval=(0.08, 0.16)).endswith("it may be between 8 and 16 more.")
    assert "no clear difference" in _gain(challenger=0.08, champion=0.09, interval=(-0.04, 0.02))
    assert _gain(interval=(-0.04, 0.02)).endswith("it may be from 2 more to 4 fewer.")
    assert _gain(interval=(None, None)).endswith("how certain this is, is not known.")


def test_what_is_not_known_is_said() -> None:
    assert gain_over_former(verdict(against=None, champion=None, delta=None, interval=None), "d" * 64) is None
    assert rate_sentence(EN, judged(3, None)).startswith("Nothing is known yet of the errors of v3")
    assert "between" not in rate_sentence(EN, judged(3, verdict(challenger_interval=(0.05, None))))


def test_the_page_has_the_numbers_of_its_sources(tmp_path: Path) -> None:
    report = reported_site(tmp_path, sites=50, label_price=40.0, label_hours=5.0, new_audio_hours=5.0)
    page = _shown(site_page(EN, report))
    # golden and training amounts: 1.5 hours, 50 of 1,000 clips refused
    assert "1.5 h 950 12 50 (5 %) 200 clips of 4 speakers" in page
    # the comparison: 40 of 100 wrong without an adapter, 11 with it, 21 to 37 fewer
    assert "29 fewer are wrong (11 instead of 40)" in page
    assert "between 21 and 37 fewer" in page
    # 12 trainings of 900 s, 25 hours of work at 40, and 4 adapters of 2 MB with 80 MB of data for a year
    assert "training 3 h 1 3" in page
    assert "labelling by people 25 h 40 1,000" in page
    assert "storage of data and adapters 0.088 GB 0.6 0.05" in page
    assert f"together {round(3 + 1000 + 0.088 * 0.6):,}" in page
    # 50 copies of 20 MB against 20 MB and 50 adapters of 2 MB
    assert "1 GB 1 GB" in page
    assert "120 MB 120 MB" in page
    assert "8 times less storage" in page
    assert "v4 is undecided because the golden set is too small: record about 120 more golden clips of 3" in page
    assert "report.sites" in page
    assert page.count(" assumed ") == 8


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"dataset": "data/plant-a/asr/v0-older", "golden": "golden/plant-a/asr/v0"},
            "of data/plant-a/asr/v0-older, golden/plant-a/asr/v0, the adapter of data/plant-a/asr/v1, golden/plant-a/a",
        ),
        (
            {"backbone": "models/old", "fingerprint": "sha256:" + "0" * 64},
            "of models/old (sha256:000000000000…), the adapter of elp:tiny (sha256:ffffffffffff…). elp compare",
        ),
    ],
)
def test_a_comparison_on_other_data_or_another_backbone_is_no_gain(
    tmp_path: Path, other: dict[str, str], said: str
) -> None:
    page = _shown(site_page(EN, reported_site(tmp_path, other)))
    assert "29 fewer" not in page
    assert said in page
    assert "comparison 0123456789abcdef" not in page
    # an older one on the adapter's own data, golden set and backbone counts
    write_compared(tmp_path, name="00000000000000aa")
    os.utime(tmp_path / "comparisons" / "00000000000000aa" / "compare.json", (1, 1))
    gains, unfit = slot_gains(judged(3, verdict()), workspace_comparisons(tmp_path))
    assert (gains[0].source, gains[0].over, unfit) == ("00000000000000aa", "frozen", None)
    # its elp is not the adapter of a slot with a configuration of its own
    gains, _ = slot_gains(judged(3, verdict()), workspace_comparisons(tmp_path), OWN_ADAPTER)
    assert "frozen" not in [one.over for one in gains]
    # nor one whose errors are others on the same golden set
    gains, unfit = slot_gains(judged(3, verdict(challenger_interval=(0.3, 0.4))), workspace_comparisons(tmp_path))
    assert "frozen" not in [one.over for one in gains]
    assert "trained one with 11 errors in 100 words" in other_comparison_sentence(EN, unfit)


def test_the_slots_of_one_pass_share_its_duration() -> None:
    one = SlotAmounts("plant-a/asr", 900.0, "r", 12.0, False, 0.0, 1, 0, trained_together=2)
    assert yearly_costs([one, replace(one, slot="plant-a/sic")], ReportSettings())[0].amount == 3.0


@pytest.mark.parametrize(("sites", "said"), [(1, "At 1 site, adapters save hardly any storage"), (2, "At 2 sites, a")])
def test_adapters_that_save_no_storage_are_named_so(tmp_path: Path, sites: int, said: str) -> None:
    report = reported_site(tmp_path, sites=sites)
    larger = replace(report, copies=FullCopies(sites, 1, 2e6, 20e6))
    page = _shown(site_page(EN, larger))
    assert said in page
    assert "times less" not in page
    assert f"Against full copies of the model at {sites} site{'s' if sites > 1 else ''} " in page


def test_an_assumption_that_is_stated_with_its_default_is_set(tmp_path: Path) -> None:
    (tmp_path / "elp.yaml").write_text("report: {sites: 50}\n")
    stated = stated_names(tmp_path / "elp.yaml")
    page = _shown(site_page(EN, replace(reported_site(tmp_path), stated=stated)))
    assert "50 report.sites set in elp.yaml" in page
    assert page.count(" assumed ") == 7


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_in_both_languages_and_loads_nothing(tmp_path: Path, language: str) -> None:
    report = reported_site(tmp_path, {"dataset": "data/plant-a/asr/v0"})
    details = replace(
        DETAILS,
        checks=(NamedOutcome("no clip in training", "failed"),),
        slices=(NamedOutcome("near the press", "failed"), NamedOutcome("of the north", "undecided", "group")),
    )
    # one slot for each fault of a licence, and for each thing that a verdict finds
    faults = [LicenceFault(rule, "elp:tiny", "LicenseRef-Acme") for rule in get_args(LicenceRule)]
    first = replace(report.slots[0], champion=judged(3, verdict(details=details)))
    slots = (*report.slots, *(replace(first, licence_fault=fault) for fault in faults))
    page = site_page(texts(language), replace(report, slots=slots))
    assert language == "en" or english_texts(read_html(page)) == []
    assert f'<html lang="{language}">' in page
    assert "://" not in page
    assert "src=" not in page
    assert "%(" not in page


def test_the_japanese_page_has_the_same_numbers(tmp_path: Path) -> None:
    page = _shown(site_page(JA, reported_site(tmp_path)))
    assert "100 単語当たりの誤りが 29 件少なくなっています（40 件 → 11 件）" in page
    assert "減少は 21 件から 37 件の間" in page
    assert "別の話者 3 名から約 120 クリップ" in page


@pytest.mark.parametrize(
    ("found", "missing", "said"),
    [
        (None, None, "Gate v4: nothing is known of it yet."),
        (verdict(version=4, outcome="passed"), None, "Gate v4 again: its verdict compares with an older champion."),
        (verdict(version=4, outcome="undecided"), None, "Gate v4 again"),
    ],
)
def test_the_next_step_follows_from_the_state(
    tmp_path: Path, found: VerdictStatement | None, missing: MissingAudio | None, said: str
) -> None:
    (slot,) = reported_site(tmp_path).slots
    # the verdicts compare with v2, and v3 is the champion
    assert next_step(EN, replace(slot, contender=judged(4, found, missing))).text.startswith(said)


def test_an_alarm_and_a_failed_check_are_risks_and_no_look_is_unknown(tmp_path: Path) -> None:
    (slot,) = reported_site(tmp_path).slots
    assert {risk.tone for risk in slot_risks(EN, slot)} == {"good"}
    alarmed = slot_risks(EN, replace(slot, alarm_since="2026-11-28T00:00:00+00:00"))
    assert alarmed[0].text == "The audio of the site has changed: the monitor's alarm is of November 28, 2026."
    unseen = slot_risks(EN, replace(slot, looks=0, licence=""))
    assert [risk.tone for risk in unseen] == ["unknown", "unknown", "good"]
    assert slot_risks(EN, replace(slot, licence_fault=LicenceFault("forbidden", "b")))[0].tone == "bad"


def test_a_schedule_counts_its_starts_without_the_days_off() -> None:
    weekly = {"weekly": {"slots": "plant-*/asr", "cron": "0 3 * * MON", "calendar": "holidays"}}
    (entry,) = read_entries(weekly, {"holidays": ["2026-01-05"]})
    assert starts_in_a_year(entry) == 51


def test_a_currency_is_a_code() -> None:
    from elp_core.errors import ConfigError

    with pytest.raises(ConfigError, match="expected three capital letters such as EUR or JPY"):
        ReportSettings(currency="€")
