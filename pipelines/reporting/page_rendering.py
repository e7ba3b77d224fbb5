"""From a template and a language to one self-contained HTML page that prints on A4."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from pipelines import html_report
from pipelines.reporting.gain_words import gain_sentence, rate_sentence
from pipelines.texts import written_numbers
from pipelines.texts.message_catalogue import Texts

_FORMATS: dict[str, Callable[..., str]] = {
    "number": written_numbers.written_number,
    "share": written_numbers.written_share,
    "size": written_numbers.written_size,
    "length": written_numbers.written_length,
    "money": written_numbers.written_money,
    "day": written_numbers.written_day,
    "gain_sentence": gain_sentence,
    "rate_sentence": rate_sentence,
}


def render_manager_page(template: str, texts: Texts, **values: Any) -> str:
    """Return the HTML of a template of this room in a language; its filters write numbers in that language."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    # added by the extension
    environment.install_gettext_translations(texts.translations, newstyle=True)  # type: ignore[attr-defined]
    # a filter gets its value first, and the language is bound
    environment.filters |= {name: _bound(function, texts) for name, function in _FORMATS.items()}
    folder = Path(html_report.__file__).parent
    stylesheet = (folder / "html_report.css").read_text(encoding="utf-8")
    printed = Path(__file__).with_name("manager_page.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(stylesheet=stylesheet + printed, language=texts.language, **values)


def _bound(function: Callable[..., str], texts: Texts) -> Callable[..., str]:
    return functools.partial(function, texts)
