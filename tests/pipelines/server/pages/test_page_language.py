"""The pages in Japanese: chosen by the browser's request or by the switch, with the records as they are."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from pipelines.number_text import in_words
from pipelines.server.read_models.rate_words import rate_words
from pipelines.texts.message_catalogue import texts
from tests.support.html import faults, read_html

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
    assert "拠点・タスク別のアダプタ" in visitor.get("/elp/").text
    assert "Adapters by site and task" in visitor.get("/elp/?language=en", headers=JAPANESE).text


@pytest.mark.parametrize("metric", ["wer", "cer_reading", "eer", "error_rate", "loss"])
def test_a_rate_in_english_is_said_as_everywhere_else(metric: str) -> None:
    for share, interval in ((0.109, (0.09, 0.131)), (0.004, None), (0.2, (None, 0.3)), (float("nan"), None)):
        assert rate_words(texts("en"), metric, share, interval) == in_words(metric, share, interval)
