from __future__ import annotations

import re

from elp_core.languages import LanguageConfig, codes, language
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "languages.md"


def test_the_table_has_every_language_as_it_is_defined() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    found = [language(code) for code in codes()]
    assert rows == [
        f"| `{one.code}` | {one.name} | {one.units} | {one.metric.upper()} | "
        f"{'a letter' if one.apostrophes else 'dropped'} | {'yes' if one.spells else 'no'} |"
        for one in found
    ]


def test_the_page_shows_the_default_options() -> None:
    import yaml

    shown = re.search(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    assert LanguageConfig.parse(yaml.safe_load(shown[1])["language"]) == LanguageConfig("ja")
