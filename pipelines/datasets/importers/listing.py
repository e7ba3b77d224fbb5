"""Manifests and metadata files: their lines become clips, and every fault is named with its line."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from elp_core.types import Seconds, Split
from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault, SourceClip
from pipelines.errors import IntakeError

Row = Mapping[str, Any] | str
"""The values of a line, or a sentence on what is wrong with the line."""
_TEXT_KEYS = ("text", "transcription", "transcript", "sentence")
_SPEAKER_KEYS = ("speaker", "speaker_id")


def listed_clips(source: Path, listings: Iterable[tuple[Path, str]], key: str, expects: str) -> list[SourceClip]:
    """Return the clips that the listings of a source describe, in the order of their lines.

    Each listing, a CSV or JSONL file, has the split of the lines that name none, or an empty text. `key` names the
    audio file, relative to the listing's folder. An IntakeError lists every line that is malformed or names a file that
    is missing or outside that folder; if there is no clip, it says what was expected.
    """
    faults: list[str] = []
    clips: list[SourceClip] = []
    top = source if source.is_dir() else source.parent
    for listing, split in listings:
        for line, row in _csv_rows(listing) if listing.suffix == ".csv" else _json_rows(listing):
            here: list[str] = []
            if isinstance(row, str):
                here.append(row)
            elif clip := _clip(row, key, listing.parent, split, here):
                clips.append(clip)
            faults.extend(f"{listing.relative_to(top)}, line {line}: {fault}" for fault in here)
    if faults:
        raise IntakeError(f"{source} has {len(faults)} fault(s); correct them and try again, nothing changed", faults)
    if not clips:
        raise IntakeError(f"{source} names no clip; expected {expects}")
    return clips


def _clip(row: Mapping[str, Any], key: str, folder: Path, split: str, faults: list[str]) -> SourceClip | None:
    """The clip that a row describes, or None with its faults in `faults`."""
    if not (name := str(row.get(key) or "")):
        faults.append(f"{key} is missing")
        return None
    named = (folder / name).resolve()
    if not named.is_relative_to(folder.resolve()):
        faults.append(f"the file {_printable(name)} is outside {folder}; a listing may name files of its folder only")
    elif not named.is_file():
        faults.append(f"the file {_printable(name)} does not exist")
    chosen = _split(row, split, faults)
    start, seconds = _seconds(row, "offset", faults), _seconds(row, "duration", faults)
    if faults:
        return None
    values = [_first(row, keys) for keys in (_TEXT_KEYS, _SPEAKER_KEYS, ("label",), ("condition",))]
    text, speaker, label, condition = map(_printable, values)
    return SourceClip(
        path=_printable(named.relative_to(folder.resolve()).as_posix()),
        audio=named,
        text=text,
        speaker=speaker,
        label=label,
        split=chosen,
        condition=condition,
        start=start or 0.0,
        # most manifests give every file its duration: it cuts the file only together with an offset
        seconds=seconds if start is not None else None,
        fault=ClipFault("not_utf8", "the transcript or its labels are not UTF-8")
        if any(map(_undecodable, values))
        else None,
    )


def _first(row: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of `keys` that has a value, as text."""
    return next((str(row[key]) for key in keys if row.get(key) not in (None, "")), "")


def _split(row: Mapping[str, Any], default: str, faults: list[str]) -> Split | Literal[""]:
    name = _first(row, ("split",)) or default
    if name and name.lower() not in SPLIT_NAMES:
        faults.append(f"unknown split {_printable(name)!r}, expected one of {', '.join(sorted(SPLIT_NAMES))}")
    return SPLIT_NAMES.get(name.lower(), "")


def _seconds(row: Mapping[str, Any], key: str, faults: list[str]) -> Seconds | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        faults.append(f"{key} is {value!r}, expected a number of seconds, 0 or more")
        return None
    return number


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for row in reader:
            broken = None in row or None in row.values()
            fault = f"the number of columns differs from the header's {len(reader.fieldnames or [])}"
            yield reader.line_num, fault if broken else row
    except csv.Error as error:
        yield reader.line_num, f"not CSV ({error})"


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                yield number, f"not JSON ({error.msg} at column {error.colno})"
            else:
                yield number, row if isinstance(row, dict) else "expected a JSON object"


def _text(path: Path) -> str:
    content = path.read_bytes()
    if b"\0" in content:
        raise IntakeError(f"{path} is not UTF-8 text (it has zero bytes, as UTF-16 has); save it as UTF-8")
    # other bytes that are not UTF-8 become lone surrogates: only the clip that they belong to is faulty
    return content.decode("utf-8-sig", "surrogateescape")


def _undecodable(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _printable(text: str) -> str:
    """`text` with lone surrogates written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
