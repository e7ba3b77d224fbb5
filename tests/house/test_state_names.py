"""A final state has a name that the alerts and the console know: Prefect's events and filters go by the name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import prefect.flow_engine
import pytest

from pipelines import prefect_names
from pipelines.orchestration.overdue_runs import LEAVES_LATE
from pipelines.prefect_names import BAD_ENDS

ROOT = Path(__file__).resolve().parents[2]
TYPES = {"Failed": "FAILED", "Crashed": "CRASHED", "Cancelled": "CANCELLED"}
"""Functions of Prefect that make a state -> its type."""


def _names(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line and name of each failed, crashed or cancelled state that a module makes under a name of its own."""
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
            yield node.lineno, makes, str(getattr(prefect_names, name, name))


def _last(node: ast.AST | None) -> str:
    """Return a constant text, or the last part of a name such as ``StateType.FAILED``."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_every_bad_end_has_a_known_name() -> None:
    files = [*sorted((ROOT / "pipelines").rglob("*.py")), Path(prefect.flow_engine.__file__)]
    found = [(f"{file.name}:{line}", *state) for file in files for line, *state in _names(file.read_text("utf-8"))]
    # a run that is cancelled under an unknown name stays late for the automation of overdue runs
    unknown = [one for one in found if one[2] not in (LEAVES_LATE if one[1] == "CANCELLED" else BAD_ENDS)]
    assert unknown == [], "name it in pipelines/prefect_names.py, and add it to BAD_ENDS or LEAVES_LATE"
    assert {"WrongRelease", "TimedOut", "Missed"} <= {name for _, _, name in found}


@pytest.mark.parametrize(
    ("text", "of_type"),
    [
        ('Failed(name="Odd", message="x")', "FAILED"),
        ("Crashed(name=Odd)", "CRASHED"),
        ('State(type=StateType.CANCELLED, name="Odd")', "CANCELLED"),
        ('{"type": "CRASHED", "name": "Odd", "message": text}', "CRASHED"),
    ],
)
def test_the_scan_finds_what_it_looks_for(text: str, of_type: str) -> None:
    assert list(_names(f'Completed(name="Fine")\nFailed(message="x")\n{text}')) == [(3, of_type, "Odd")]
