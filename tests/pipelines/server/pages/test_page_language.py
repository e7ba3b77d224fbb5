"""The pages in Japanese: chosen by the browser's request or by the switch, with the records as they are."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from pipelines.number_text import in_words
from pipelines.registry.monitor_names import UNITS
from pipelines.server.pages import views
from pipelines.server.pages.mlflow_pages import add_page_headers
from pipelines.server.read_models.site_audio import LookPoint, MonitorEntry, ScoreCurve, SiteAudio
from pipelines.server.read_models.site_boxes import BoxOfSlot, BoxState
from pipelines.texts.message_catalogue import texts
from pipelines.texts.rate_words import rate_words
from tests.support.english_texts import english_texts
from tests.support.html import faults, read_html
from tests.support.japanese_text import breaches, shown_text
from tests.support.registry_rows import FINGERPRINT

JAPANESE = {"Accept-Language": "ja,en;q=0.5"}


@pytest.mark.parametrize("page", ["/elp/", "/elp/slots/plant-a/asr", "/elp/glossary"])
def test_the_browser_chooses_the_language(visitor: FlaskClient, page: str) -> None:
    for headers, language, word in ((JAPANESE, "ja", "バックボーン"), ({"Accept-Language": "fr"}, "en", "Backbones")):
        tree = read_html(visitor.get(page, headers=headers).text)
        assert tree.all("html")[0].attributes["lang"] == language
        assert word in tree.text
        assert faults(tree) == []


def test_the_switch_is_kept_for_the_next_page_and_leaves_the_address_as_it_was(visitor: FlaskClient) -> None:
    page = read_html(visitor.get("/elp/slots/plant-a/asr?version=1").text)
    (switch,) = [link for link in page.all("a") if link.attributes.get("hreflang") == "ja"]
    assert switch.attributes["href"] == "/elp/slots/plant-a/asr?version=1&language=ja"
    assert "決定" in visitor.get(switch.attributes["href"]).text
    assert "拠点・タスク別のアダプター" in visitor.get("/elp/").text
    assert "Adapters by site and task" in visitor.get("/elp/?language=en", headers=JAPANESE).text


PAGES = (
    "/elp/",
    "/elp/?site=nowhere",
    "/elp/slots/plant-a/asr?refusals=1",
    "/elp/slots/plant-a/asr/v4/clips",
    "/elp/slots/plant-a/asr/compare",
    "/elp/slots/plant-a/asv/compare?a=1&b=3",
    "/elp/glossary",
    f"/elp/backbones/{FINGERPRINT}",
    "/elp/datasets/data/plant-a/asr/v1",
    "/elp/datasets/golden/plant-a/asr/v1",
    "/elp/data/plant-a/asr",
    "/elp/slots/nowhere/asr",
)


@pytest.mark.parametrize("page", PAGES)
def test_no_english_is_left_on_a_japanese_page(visitor: FlaskClient, page: str) -> None:
    text = visitor.get(page, headers=JAPANESE).text
    tree = read_html(text)
    assert tree.all("html")[0].attributes["lang"] == "ja"
    assert english_texts(tree) == []
    # only the page shows what a value has next to it
    assert [fault for fault in breaches(shown_text(text)) if fault.startswith("no blank")] == []
    assert faults(tree) == []


def test_english_on_a_japanese_page_is_found(visitor: FlaskClient) -> None:
    text = visitor.get("/elp/glossary", headers={"Accept-Language": "en"}).text
    assert english_texts(read_html(text)) == []
    assert len(english_texts(read_html(text.replace('lang="en"', 'lang="ja"', 1)))) > 20


def test_the_monitor_and_the_boxes_are_in_japanese(visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    at = "2026-01-01T00:00:00+00:00"
    points = (LookPoint(1, datetime.fromisoformat(at), 0.4), LookPoint(2, datetime.fromisoformat(at), 1.2))
    curves = tuple(ScoreCurve(name, points, 20.0, 10.0) for name in UNITS)
    entries = (MonitorEntry(at, "retraining", "started: the audio changed", ""),)
    audio = SiteAudio("r", "1", "alarm since 2026-01-01", at, "about 12 % of the words", curves, entries)
    states: tuple[BoxState, ...] = ("same", "differs", "refused", "silent")
    boxes = [BoxOfSlot(f"box-{state}", 1, state, at, "the disk is full") for state in states]
    monkeypatch.setattr(views, "read_site_audio", lambda *_: audio)
    monkeypatch.setattr(views, "boxes_of_slot", lambda *_: boxes)
    tree = read_html(visitor.get("/elp/slots/plant-a/asr", headers=JAPANESE).text)
    assert "信号対雑音比" in tree.text
    assert "直近の取得を拒否" in tree.text
    assert english_texts(tree) == []
    assert faults(tree) == []


@pytest.mark.parametrize(("language", "close"), [("ja", 'data-close="閉じる"'), ("de", 'data-close="Close"')])
def test_what_we_add_to_mlflow_is_in_the_language(language: str, close: str) -> None:
    app = Flask(__name__)
    add_page_headers(app)
    app.add_url_rule("/", view_func=lambda: "<script></script>")
    assert close in app.test_client().get("/", headers={"Accept-Language": language}).text


@pytest.mark.parametrize("metric", ["wer", "cer_reading", "eer", "error_rate", "loss"])
def test_a_rate_in_english_is_said_as_everywhere_else(metric: str) -> None:
    for share, interval in ((0.109, (0.09, 0.131)), (0.004, None), (0.2, (None, 0.3)), (float("nan"), None)):
        assert rate_words(texts("en"), metric, share, interval) == in_words(metric, share, interval)
