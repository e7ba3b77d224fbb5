"""A final state has a name that the alerts and the console know: Prefect's events and filters go by the name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import prefect.flow_engine
import pytest

from pipelines import prefect_names
from pipelines.prefect_names import BAD_ENDS

ROOT = Path(__file__).resolve().parents[2]
TYPES = {"Failed": "FAILED", "Crashed": "CRASHED"}
"""Functions of Prefect that make a state -> its type."""


def _names(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each failed or crashed state that a module makes under a name of its own."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            given = {word.arg: word.value for word in node.keywords}
            makes = TYPES.get(_last(node.func)) or _last(given.get("type"))
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            given = {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}
            makes = _last(given.get("type"))
        else:
            continue
        if makes in TYPES.values() and "name" in given:
            name = _last(given["name"])
            yield node.lineno, str(getattr(prefect_names, name, name))


def _last(node: ast.AST | None) -> str:
    """Return a constant text, or the last part of a name such as ``StateType.FAILED``."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_every_bad_end_has_a_known_name() -> None:
    files = [*sorted((ROOT / "pipelines").rglob("*.py")), Path(prefect.flow_engine.__file__)]
    found = {f"{file.name}:{line}": name for file in files for line, name in _names(file.read_text("utf-8"))}
    unknown = {place: name for place, name in found.items() if name not in BAD_ENDS}
    assert unknown == {}, "name it in pipelines/prefect_names.py and add it to BAD_ENDS"
    assert {"WrongRelease", "TimedOut"} <= set(found.values())


@pytest.mark.parametrize(
    "text",
    [
        'Failed(name="Odd", message="x")',
        "Crashed(name=Odd)",
        'State(type=StateType.FAILED, name="Odd")',
        '{"type": "CRASHED", "name": "Odd", "message": text}',
    ],
)
def test_the_scan_finds_what_it_looks_for(text: str) -> None:
    assert list(_names(f'Completed(name="Fine")\nFailed(message="x")\n{text}')) == [(3, "Odd")]
