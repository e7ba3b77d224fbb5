"""The rows of a manifest, each with its line: JSON lines, a JSON array, or a table with commas, semicolons or tabs."""

import csv
import functools
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.datasets.importers.manifest_text import printable
from pipelines.errors import IntakeError

Row = Mapping[str, Any] | str
"""The values of a line by the normal form of their keys, or a sentence on what is wrong with the line."""
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = (",", ";", "\t", "|")
_JSON_BLANKS = re.compile(r"[ \t\n\r]*")
_PLAIN_BLANKS = re.compile(r"[\s\u200b\ufeff-]+")


def manifest_rows(path: Path, text: str, key: str) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a manifest with their lines; `key` is the one that every row has.

    Raise IntakeError if the file as a whole is no manifest: one sentence says why.
    """
    if path.suffix.lower() in TABLE_SUFFIXES:
        return _table_rows(path, text, key)
    return _json_rows(path, text)


@functools.lru_cache(maxsize=1024)
def key_name(key: str) -> str:
    """Return the normal form of a key: lower case, without blanks around it, blanks and hyphens inside as underscores.

    >>> key_name(" Audio Filepath")
    'audio_filepath'
    """
    return _PLAIN_BLANKS.sub("_", _PLAIN_BLANKS.sub(" ", key).strip()).lower()


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and isinstance(_object(lines[0][1]), str) and (whole := _values(text)):
        # an array, or objects that are written over several lines
        yield from whole
        return
    if lines and lines[0][1].lstrip().startswith("[") and (fault := _array_fault(text)):
        raise IntakeError(f"{path} is not a whole JSON array: {fault}; export it again, or write one object a line")
    for number, line in lines:
        yield number, _object(line)


def _object(text: str) -> Row:
    """Return the object of a line, or what is wrong with it."""
    try:
        return _row(_decoder().decode(text))
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at column {error.colno})"
    except (ValueError, RecursionError) as error:
        return f"not JSON ({'it is nested too deeply' if isinstance(error, RecursionError) else error})"


def _row(value: Any) -> Row:
    if not isinstance(value, dict):
        return f"expected a JSON object, got {_kind(value)}"
    if (twice := value.pop(_TWICE, None)) is not None:
        return f"{twice} is given twice"
    return value


_TWICE = object()


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[Any, Any]:
    """Return an object by the normal form of its keys; a key that is given twice is noted under `_TWICE`."""
    values: dict[Any, Any] = {}
    for key, value in pairs:
        name = key_name(key)
        if name in values and values[name] != value:
            values[_TWICE] = key
        values[name] = value
    return values


@functools.cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_pairs)


def _values(text: str) -> list[tuple[int, Row]]:
    """Return the objects of a text with the lines in which they begin; none if the text is anything else."""
    found: list[tuple[int, Row]] = []
    try:
        for line, value in _stream(text):
            found.append((line, _row(value)))
    except (ValueError, RecursionError):
        return []
    return found


def _array_fault(text: str) -> str:
    """Return why a text that begins with a bracket is no JSON array; empty if it is one."""
    try:
        for _ in _stream(text):
            pass
    except json.JSONDecodeError as error:
        return f"{error.msg} in line {error.lineno}"
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


def _stream(text: str) -> Iterator[tuple[int, Any]]:
    """Yield the elements of an array, or values one after the other, with the lines in which they begin."""
    line, seen, position = 1, 0, _after_blanks(text, 0)
    array = text.startswith("[", position)
    position += array
    while True:
        position = _after_blanks(text, position)
        if array and text.startswith("]", position):
            position = _after_blanks(text, position + 1)
            if position < len(text):
                raise json.JSONDecodeError("there is more after the array", text, position)
            return
        if position >= len(text):
            if array:
                raise json.JSONDecodeError("it breaks off", text, position)
            return
        line += text.count("\n", seen, position)
        seen = position
        value, position = _decoder().raw_decode(text, position)
        yield line, value
        position = _after_blanks(text, position)
        if array and text.startswith(",", position):
            position += 1
        elif array and not text.startswith("]", position):
            raise json.JSONDecodeError("expected a comma or the end of the array", text, position)


def _after_blanks(text: str, position: int) -> int:
    """Return the place of the next character that is no blank of JSON."""
    found = _JSON_BLANKS.match(text, position)
    return found.end() if found else position


def _table_rows(path: Path, text: str, key: str) -> Iterator[tuple[int, Row]]:
    skipped, delimiter, text = table_delimiter(text, (key,))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=_quoting(text, delimiter), strict=True
    )
    try:
        header = _header(path, next((row for row in reader if row), []), key)
        for values in reader:
            if any(value.strip() for value in values):
                yield reader.line_num + skipped, _table_row(header, values)
    except csv.Error as error:
        yield reader.line_num + skipped, f"not CSV ({error})"


def table_delimiter(text: str, wanted: Collection[str], first: str = "") -> tuple[int, str, str]:
    """Return the lines before a table, its separator, and its text without them.

    The separator is the one that ``sep=`` declares, as Excel does; else the one that gives the header a `wanted`
    column among others, else the most columns. Of two that do equally well, `first` is chosen.
    """
    if found := re.match(r"sep=([,;|\t])\n", text):
        return 1, found[1], text[found.end() :]
    header = text.lstrip("\n").partition("\n")[0]

    def columns(delimiter: str) -> tuple[bool, int, bool]:
        names = [key_name(name.strip('"')) for name in header.split(delimiter)]
        return len(names) > 1 and not set(wanted).isdisjoint(names), len(names), delimiter == first

    return 0, max(_DELIMITERS, key=columns), text


def _quoting(text: str, delimiter: str) -> Any:
    """Return how fields are quoted: tables with tabs often have quotes as they are, one in a line."""
    if delimiter == "\t" and any(line.count('"') % 2 for line in text.split("\n")):
        return csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL


def _header(path: Path, names: Sequence[str], key: str) -> list[str]:
    header = [key_name(printable(name)) for name in names]
    if twice := [name for name, count in Counter(header).items() if count > 1 and name]:
        raise IntakeError(f"{path} has the column {', '.join(twice)} twice; rename or remove one of them")
    if names and key not in header:
        raise IntakeError(f"{path} has no column {key}; it has {', '.join(printable(name).strip() for name in names)}")
    return header


def _table_row(header: Sequence[str], values: Sequence[str]) -> Row:
    # spreadsheets write empty fields after the last column
    extra = any(value.strip() for value in values[len(header) :])
    if extra or len(values) < len(header):
        return f"the number of columns is {len(values)}, that of the header {len(header)}"
    return {name: value for name, value in zip(header, values, strict=False) if name}


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}.get(
        type(value), "null"
    )
