"""What every report is made with: an empty figure, its PNG bytes, and a page from its template in each language."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.texts.message_catalogue import LANGUAGES, NAMES, Language, Texts, texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(width: float = 7.0, height: float = 2.9, columns: int = 1) -> tuple[Figure, Any]:
    """Return an empty figure (inches) and its axes, in one row of `columns`."""
    # the object interface: it needs no display and leaves pyplot's global state alone
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.subplots(1, columns)
    for one in [axes] if columns == 1 else axes:
        one.spines[["top", "right"]].set_visible(False)
    return made, axes


def png(drawn: Figure) -> bytes:
    """Return the PNG bytes of a figure."""
    _make_drawable(drawn)
    target = io.BytesIO()
    # without the library's version in the file, the same numbers give the same bytes
    drawn.savefig(target, format="png", dpi=130, metadata={"Software": None})
    return target.getvalue()


def _make_drawable(drawn: Figure) -> None:
    """Give texts with other characters than the usual font has the installed fonts that have them.

    Conditions and labels are names of the users, in any script. A character that no font has is written as its escape
    in ASCII instead of an empty box; the tables of a report have the names as they are.
    """
    from matplotlib import font_manager
    from matplotlib.text import Text

    usual = font_manager.findfont(font_manager.FontProperties())
    texts = [text for text in drawn.findobj(Text) if text.get_text()]
    missing = {char for text in texts for char in text.get_text()} - _characters(usual) - {"\n"}
    if not missing:
        return
    # sorted: the same fonts give the same picture
    fonts = sorted({(entry.name, entry.fname) for entry in font_manager.fontManager.ttflist})
    chosen: list[str] = []
    for name, path in fonts:
        if missing and (found := missing & _characters(path)):
            chosen.append(name)
            missing -= found
    escaped = {ord(char): char.encode("ascii", "backslashreplace").decode() for char in missing}
    for text in texts:
        text.set_fontfamily([*text.get_fontfamily(), *chosen])
        text.set_text(text.get_text().translate(escaped))


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters of a font file; none of one that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


def language_file(name: str, language: Language) -> str:
    """Return the name of a report's file in a language.

    >>> language_file("report.html", "en"), language_file("report.html", "ja")
    ('report.html', 'report.ja.html')
    """
    return name if language == "en" else f"{name.removesuffix('.html')}.{language}.html"


def language_pages(name: str, page: Callable[[Texts], str]) -> dict[str, str]:
    """Return a report in every language by the name of its file; `page` makes each of them from the same record."""
    return {language_file(name, language): page(texts(language)) for language in LANGUAGES}


def render_page(
    template: Path, said: Texts, name: str, worded: Mapping[str, Callable[..., Any]] | None = None, /, **values: Any
) -> str:
    """Return a report's HTML in a language from its template, which extends `report_base.html`.

    `name` is the report's file in English, for the links between the languages; without one there are no links.
    `worded` are filters that get the language first, and then their value.
    """
    from pipelines.texts.translated_templates import shared_environment

    here = Path(__file__).parent
    environment = shared_environment((template.parent, here), tuple((worded or {}).items()))
    return environment.get_template(template.name).render(
        stylesheet=(here / "html_report.css").read_text(encoding="utf-8"),
        said=said,
        language=said.language,
        files=[(code, NAMES[code], language_file(name, code)) for code in LANGUAGES] if name else [],
        **values,
    )
