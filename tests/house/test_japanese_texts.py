"""The Japanese of the catalogue and of the pages keeps the rules at the head of the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.support.japanese_text import RULES, breaches, page_text, said_text
from tests.support.message_ids import catalogue

PAGES = [ROOT / "README.ja.md", *sorted((ROOT / "docs").rglob("*.ja.md"))]


def test_the_catalogue_keeps_the_rules() -> None:
    said = [message.string for message in catalogue("ja") if message.id]
    texts = [text for string in said for text in ((string,) if isinstance(string, str) else string)]
    assert len(texts) > 500
    assert [fault for text in texts for fault in breaches(said_text(text))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_keeps_the_rules(page: Path) -> None:
    assert breaches(page_text(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("３ クリップ", "full-width"),
        ("v2の 3 クリップ、2026年11月29日", "no blank"),
        ("<b>完了：</b> 保存しました。", "a blank next to"),
        ("v2 と比較(評価)", "a half-width mark"),
        ("v2 が合格した。v3 が合格しました。確認してください。", "a plain form"),
        ("サーバの設定、フィルタリング", "a long vowel"),
        ("モデルの\nコピー", "a line that ends"),
        ("等価誤り率と等価エラー率", "another word"),
    ],
)
def test_a_breach_is_found_once(text: str, rule: str) -> None:
    (found,) = breaches(said_text(text))
    assert found.startswith(rule)
    assert len(RULES) == 8
