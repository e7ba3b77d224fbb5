from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from pipelines.cli.output import JSON_KEY, emit, fields, mark, table
from pipelines.number_text import duration
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot


def test_a_table_aligns_numbers_right_and_words_left() -> None:
    lines = table(("name", "n"), [("a", 5), ("long", 123)]).splitlines()
    assert [line.split("m")[-1] for line in lines[1:]] == ["a       5", "long  123"]


def test_a_table_on_a_terminal_keeps_to_its_width_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    shown = table(("name", "state"), [("a" * 30, mark("up"))])
    lines = click.unstyle(shown).splitlines()
    assert "\x1b[32mup" in shown
    assert len(lines) > 2
    assert all(len(line.rstrip()) <= 20 for line in lines)


def test_an_empty_table_says_so() -> None:
    assert table(("a",), [], empty="no versions yet") == "no versions yet"


def test_missing_values_print_as_a_dash() -> None:
    assert fields([("champion", None), ("wer", 0.08)]) == "champion  —\nwer       0.0800"


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.31, "8.3 s"), (59.97, "1 min 00 s"), (250, "4 min 10 s"), (11_100, "3 h 05 min"), (187_200, "2 d 4 h")],
)
def test_durations_read_well(value: float, text: str) -> None:
    assert duration(value) == text


def test_plain_turns_everything_into_json() -> None:
    value = {"slot": Slot("a", "asr"), "path": Path("/x"), "set": {2, 1}, "tuple": (1.5, None)}
    assert plain(value) == {"slot": {"site": "a", "task": "asr"}, "path": "/x", "set": [1, 2], "tuple": [1.5, None]}


def test_emit_prints_json_that_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(click.Command("verb"), resilient_parsing=True) as ctx:
        ctx.meta[JSON_KEY] = True
        emit({"ü": [1, 2]}, str)
    assert json.loads(capsys.readouterr().out) == {"ü": [1, 2]}
