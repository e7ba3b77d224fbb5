"""The examples run unchanged, learn what they show, and import `elp_core` alone."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def test_there_is_one_for_each_task() -> None:
    assert [path.stem for path in EXAMPLES] == ["asr", "asv", "ser", "sic"]


@pytest.mark.parametrize(
    "path",
    # of the two that learn classes, one is enough for each change
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem == "sic" else []) for path in EXAMPLES],
)
def test_an_example_learns_what_it_shows(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(path), run_name="__main__")
    assert found["after"].value < 0.75 * found["before"].value
    assert "untrained:" in capsys.readouterr().out
    if path.stem == "asv":
        assert (found["genuine"].accepted, found["impostor"].accepted) == (True, False)


@each_example
def test_an_example_imports_the_library_and_numpy_only(path: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names)
    assert others <= {"elp_core", "numpy"}
