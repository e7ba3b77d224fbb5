"""The Japanese pages against the English ones: the same commands, settings, headings and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAIRS = [(ROOT / "README.md", ROOT / "README.ja.md")]
PAIRS += [(page.with_name(page.name.replace(".ja.md", ".md")), page) for page in (ROOT / "docs").rglob("*.ja.md")]


@pytest.mark.parametrize(("english", "japanese"), PAIRS, ids=[pair[1].name for pair in PAIRS])
def test_both_languages_show_the_same_commands_and_lead_to_the_same_pages(english: Path, japanese: Path) -> None:
    one, other = (page.read_text(encoding="utf-8") for page in (english, japanese))
    assert _fences(one) == _fences(other)
    assert _levels(one) == _levels(other)
    assert _targets(one) == _targets(other)
    assert re.findall(r"^\|---", one, re.MULTILINE) == re.findall(r"^\|---", other, re.MULTILINE)
    assert one.count("\n- ") == other.count("\n- ")
    for page, counterpart in ((one, japanese), (other, english)):
        assert f"({counterpart.name})" in page.split("\n## ")[0]


def _fences(text: str) -> list[str]:
    return re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)


def _levels(text: str) -> list[str]:
    return re.findall(r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def _targets(text: str) -> list[str]:
    """Where the links and pictures lead, without language: sorted, because sentences order them differently."""
    return sorted(target.replace(".ja.md", ".md") for target in re.findall(r"\]\(([^)]+)\)", text))
