from __future__ import annotations

import pytest

from pipelines.html_report import figure, png


@pytest.mark.parametrize("name", ["factory", "工場", "공장", "𠮷野家", "a\nb"])
def test_names_of_every_script_are_drawn_without_a_warning(name: str) -> None:
    drawn, axes = figure()
    axes.set_title(name)
    assert png(drawn).startswith(b"\x89PNG")


def test_a_character_without_a_font_is_written_as_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import font_manager

    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    drawn, axes = figure()
    axes.set_title("窓 open")
    png(drawn)
    assert axes.get_title() == r"\u7a93 open"
