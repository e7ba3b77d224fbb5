from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.tally import tally


def _reports(**outcomes: list[str]) -> dict[str, list[SimpleNamespace]]:
    return {name: [SimpleNamespace(nodeid=f"tests/{test}") for test in tests] for name, tests in outcomes.items()}


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        ({"passed": ["attacks/a.py::x", "attacks/a.py::y"]}, "tried 2, got through 0"),
        ({"passed": ["attacks/a.py::x"], "failed": ["attacks/a.py::y"]}, "tried 2, got through 1"),
        ({"passed": ["attacks/a.py::x"], "error": ["attacks/a.py::x"]}, "tried 1, got through 1"),
        ({"passed": ["attacks/a.py::x"], "skipped": ["attacks/b.py::x"]}, "tried 1, got through 0, not tried 1"),
        ({"passed": ["gate/a.py::x"], "failed": ["gate/a.py::y"]}, ""),
    ],
)
def test_what_was_tried_and_what_got_through(outcomes: dict[str, list[str]], line: str) -> None:
    assert tally(_reports(**outcomes)) == line
