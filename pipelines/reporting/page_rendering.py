"""From a template and a language to one self-contained HTML page that prints on A4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines import html_report
from pipelines.reporting.gain_words import gain_sentence, other_comparison_sentence, rate_sentence
from pipelines.texts import written_numbers
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.translated_templates import template_environment

_FORMATS: dict[str, Callable[..., str]] = {
    "number": written_numbers.written_number,
    "share": written_numbers.written_share,
    "size": written_numbers.written_size,
    "length": written_numbers.written_length,
    "money": written_numbers.written_money,
    "day": written_numbers.written_day,
    "english": in_english,
    "gain_sentence": gain_sentence,
    "rate_sentence": rate_sentence,
    "other_comparison_sentence": other_comparison_sentence,
}


def render_manager_page(template: str, texts: Texts, **values: Any) -> str:
    """Return the HTML of a template of this room in a language; its filters write numbers in that language."""
    environment = template_environment(Path(__file__).parent, texts, _FORMATS)
    folder = Path(html_report.__file__).parent
    stylesheet = (folder / "html_report.css").read_text(encoding="utf-8")
    printed = Path(__file__).with_name("manager_page.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(stylesheet=stylesheet + printed, language=texts.language, **values)
