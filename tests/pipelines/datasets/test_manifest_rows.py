from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.datasets.importers.manifest_rows import key_name, manifest_rows
from pipelines.errors import IntakeError

ROWS = [{"file_name": "a.wav", "text": "yes"}, {"file_name": "b.wav", "text": "no"}]


def _rows(text: str, name: str = "m.jsonl") -> list[tuple[int, object]]:
    return list(manifest_rows(Path(name), text, "file_name"))


def _lines(found: list[tuple[int, object]]) -> list[int]:
    return [line for line, _ in found]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("\n".join(map(json.dumps, ROWS)), [1, 2]),
        ("\n\n" + "\n \n".join(map(json.dumps, ROWS)), [3, 5]),
        (json.dumps(ROWS), [1, 1]),
        (json.dumps(ROWS, indent=1), [2, 6]),
        ("\n".join(json.dumps(row, indent=2) for row in ROWS), [1, 5]),
    ],
    ids=["lines", "blank lines", "array", "indented array", "indented objects"],
)
def test_json_is_read_with_the_line_of_each_object(text: str, lines: list[int]) -> None:
    found = _rows(text)
    assert [row for _, row in found] == ROWS
    assert _lines(found) == lines


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["m.csv", "m.CSV", "m.tsv"])
def test_a_table_is_read_with_any_separator(delimiter: str, name: str) -> None:
    text = "".join(delimiter.join(line) + "\n" for line in [["file_name", "text"], *(row.values() for row in ROWS)])
    assert _rows(text, name) == [(2, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize(
    "header",
    ["File_Name , Text", '"file_name","text"', "FILE NAME,TEXT", "\u200bfile-name,text", "sep=,\nfile_name,text"],
)
def test_a_header_may_have_blanks_capitals_and_quotes(header: str) -> None:
    assert [row for _, row in _rows(f"{header}\na.wav,yes\n", "m.csv")] == ROWS[:1]


def test_keys_of_json_are_compared_as_those_of_tables() -> None:
    assert _rows('{" File_Name ": "a.wav", "Text": "yes"}') == [(1, ROWS[0])]
    assert key_name("\ufeffAudio FilePath ") == "audio_filepath"


def test_empty_rows_and_empty_last_columns_of_spreadsheets_are_left_out() -> None:
    assert _rows("file_name,text,,\na.wav,yes,,\n,,,\n", "m.csv") == [(2, ROWS[0])]


def test_a_quote_in_a_table_with_tabs_is_a_character() -> None:
    found = _rows('file_name\ttext\na.wav\t"yes\nb.wav\tno\n', "m.tsv")
    assert [row["text"] for _, row in found if isinstance(row, dict)] == ['"yes', "no"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"file_name": "a.wav", "file_name": "b.wav"}', "file_name is given twice"),
        ('{"speaker": "a", "Speaker": "b"}', "Speaker is given twice"),
        ('{"text": 1' + "0" * 5000 + "}", "not JSON"),
        ('{"text": ' + "[" * 100_000 + "}", "not JSON (it is nested too deeply)"),
        ('{"text": "yes"', "not JSON (Expecting ',' delimiter at column 15)"),
        ("3", "expected a JSON object, got a number"),
        ("null", "expected a JSON object, got null"),
    ],
)
def test_a_bad_line_is_a_sentence(text: str, says: str) -> None:
    ((line, row),) = _rows(text)
    assert line == 1
    assert isinstance(row, str)
    assert row.startswith(says)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("m.json", '[{"file_name": "a.wav"},\n{"file_name": ', "is not a whole JSON array: Expecting value in line 2"),
        ("m.json", '[{"file_name": "a.wav"}', "is not a whole JSON array: .* in line 1"),
        ("m.json", '[{"file_name": "a.wav"}]\n{}', "there is more after the array in line 2"),
        ("m.csv", "path,text\na.wav,yes\n", "has no column file_name; it has path, text"),
        ("m.csv", "file_name,text,Text\n", "has the column text twice"),
    ],
)
def test_a_cause_of_the_whole_file_is_one_sentence(name: str, text: str, says: str) -> None:
    with pytest.raises(IntakeError, match=says) as caught:
        _rows(text, name)
    assert caught.value.faults == ()
