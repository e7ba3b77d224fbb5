"""A report in both languages: the same numbers and pictures, no English that is not marked, and links to each other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from pipelines.html_report import language_pages
from tests.support.english_texts import english_texts
from tests.support.html import Element, read_html

_NUMBER = re.compile(r"[+−-]?\d+(?:,\d{3})*(?:\.\d+)?")


def compare_languages(folder: Path, name: str) -> None:
    """Fail if the pages of a report in a folder differ in more than their words."""
    files = language_pages(name, lambda said: said.language)
    read = {language: read_html((folder / file).read_text(encoding="utf-8")) for file, language in files.items()}
    compare_pages(read["en"], read["ja"])
    for file, language in files.items():
        links = [link.attributes["href"] for link in read[language].all("a")]
        assert links == [other for other in files if other != file]
        assert all((folder / link).is_file() for link in links)


def compare_pages(english: Element, japanese: Element) -> None:
    """Fail if two pages of one record differ in more than their words."""
    assert [page.all("html")[0].attributes["lang"] for page in (english, japanese)] == ["en", "ja"]
    assert numbers(japanese) == numbers(english)
    assert [image.attributes["src"] for image in japanese.all("img")] == [
        image.attributes["src"] for image in english.all("img")
    ]
    assert english_texts(japanese) == []


def numbers(page: Element) -> Counter[str]:
    """Every number of a page, with how often it is there; the words around it can have another order."""
    return Counter(_NUMBER.findall(page.all("body")[0].text))
