"""The documentation's code fences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


@dataclass(frozen=True)
class Fence:
    """One block of code; `name` is the page and the block's number there."""

    page: str
    name: str
    text: str

    @property
    def file(self) -> str:
        """Name of the file that the block is, as its first line says; empty where it is none."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found else ""

    @property
    def commands(self) -> list[str]:
        """Lines of a shell block without their comments."""
        lines = (re.sub(r"\s+#.*$", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def fences(language: str) -> list[Fence]:
    """Every block of a language, in the order of the pages."""
    found = []
    for page in PAGES:
        blocks = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        found += [Fence(page.name, f"{page.name}-{number}", block) for number, block in enumerate(blocks, 1)]
    return found
