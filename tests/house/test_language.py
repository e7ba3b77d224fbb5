"""The language of the house: standard terms, plain sentences, names that are defined once."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for package in ("elp_core", "pipelines") for path in sorted((ROOT / package).rglob("*.py"))]
TREES = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}


def _words() -> Counter[str]:
    """Words of every string and docstring of the product, and of the documentation without its code."""
    words: Counter[str] = Counter()
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.update(re.findall(r"[a-z']+", node.value.lower()))
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        words.update(re.findall(r"[a-z']+", prose.lower()))
    return words


def _per_thousand(words: Counter[str], *chosen: str) -> float:
    return 1000 * sum(words[word] for word in chosen) / words.total()


def test_conditions_are_written_with_if_and_when() -> None:
    assert _per_thousand(_words(), "where") <= 2


def test_sentences_use_standard_words() -> None:
    assert _per_thousand(_words(), "beside", "anew", "nobody", "whoever", "lies", "hears", "heard", "wish") <= 0.8


def test_a_file_name_is_used_once() -> None:
    names = Counter(path.name for path in SOURCES if path.name != "__init__.py")
    repeated = sorted(name for name, count in names.items() if count > 1)
    assert len(repeated) <= 10, repeated


def test_a_public_name_is_defined_in_one_module() -> None:
    defined = defaultdict(set)
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].add(path.relative_to(ROOT))
    repeated = sorted(name for name, places in defined.items() if len(places) > 1)
    assert len(repeated) <= 20, repeated
