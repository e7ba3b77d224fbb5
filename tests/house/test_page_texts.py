"""Every text of a page is in the catalogue, so no page falls back to English without notice."""

from __future__ import annotations

import pytest

from tests.support.message_ids import TEMPLATES
from tests.support.template_texts import unmarked_texts


def test_every_visible_text_of_a_template_is_marked_for_translation() -> None:
    assert len(TEMPLATES) > 20
    unmarked = {path.name: found for path in TEMPLATES if (found := unmarked_texts(path.read_text(encoding="utf-8")))}
    assert unmarked == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>{% trans %}Marked{% endtrans %} {{ name }} <code>elp up</code> SNR 3 dB</p>", []),
        ("<p class='small'>No champion</p>", ["No champion"]),
        ("<a aria-label='Next page' href='/x'>{{ _('Next') }}</a>", ["Next page"]),
        ("<td>{% if bad %}{{ 'worse' if worse else _('better') }}{% endif %}</td>", ["worse"]),
        ("<td>{{ {1: 'worse', 0: _('same')}[change] }}</td>", ["worse"]),
        ("{% macro one() %}<b title='{{ text or 'none' }}'></b>{% endmacro %}", ["none"]),
        ("{% for x in y %}{% else %}Nothing{% endfor %}", ["Nothing"]),
        ("{% set words %}Left out{% endset %}", ["Left out"]),
    ],
)
def test_a_text_without_a_mark_is_found(source: str, found: list[str]) -> None:
    assert unmarked_texts(source) == found
