from __future__ import annotations

import re

from pipelines.cli.main import verbs
from tests.docs.pages import ROOT


def test_every_verb_stands_on_its_page() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = {word.split()[0] for cell in cells for word in re.findall(r"`([^`]+)`", cell)}
    assert set(verbs()) <= named
