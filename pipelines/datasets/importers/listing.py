"""Formats that list their clips: NeMo manifests (one JSON object a line) and Hugging Face audiofolders.

Their lines become clips, and every fault is named with its line.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from elp_core.types import Seconds, Split
from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault, Importer, SourceClip
from pipelines.errors import IntakeError

Row = Mapping[str, Any] | str
"""The values of a line, or a sentence on what is wrong with the line."""
_TEXT_KEYS = ("text", "transcription", "transcript", "sentence")
_SPEAKER_KEYS = ("speaker", "speaker_id")
_MANIFESTS = (".jsonl", ".json")
_METADATA = ("metadata.csv", "metadata.jsonl")
_AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"})


def nemo_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of all manifests of `source`, in the order of the lines. Paths are relative to the manifest.

    An object may also name ``speaker``, ``label``, ``split``, ``condition`` and ``offset`` (which, with ``duration``,
    cuts a clip out of a longer file). ``train_manifest.json`` gives its split to the lines that name none.
    """
    manifests = ((path, path.name.split("manifest")[0].strip("_-.").lower()) for path in _manifests(source))
    splits = ((path, prefix if prefix in SPLIT_NAMES else "") for path, prefix in manifests)
    yield from listed_clips(source, splits, "audio_filepath", NEMO.expects)


def _manifests(source: Path) -> list[Path]:
    """The manifest that `source` is, or the manifests in it (``manifest.jsonl``, ``train_manifest.json`` …)."""
    if source.is_file():
        return [source] if source.suffix in _MANIFESTS else []
    return sorted(path for path in source.glob("*manifest*") if path.suffix in _MANIFESTS and path.is_file())


NEMO = Importer(
    name="nemo",
    expects="a JSONL manifest with audio_filepath, text, speaker … or a folder that holds one",
    accepts=lambda source: bool(_manifests(source)),
    read=nemo_clips,
)


def audiofolder_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of every metadata file, then the audio files that none names (with the fault `not_listed`)."""
    names = ((path, "" if path.parent == source else path.parent.name) for path in _metadata_files(source))
    splits = ((path, name if name.lower() in SPLIT_NAMES else "") for path, name in names)
    clips = listed_clips(source, splits, "file_name", AUDIOFOLDER.expects)
    yield from clips
    # listed clips have resolved paths: a link to a listed file is listed, too
    listed = {clip.audio for clip in clips}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in _AUDIO_SUFFIXES and path.is_file() and path.resolve() not in listed:
            fault = ClipFault("not_listed", "no metadata file names it")
            yield SourceClip(path.relative_to(source).as_posix(), path, fault=fault)


def _metadata_files(source: Path) -> list[Path]:
    """Metadata files at the top of `source`, in its split folders and in ``data/`` (as `datasets` looks for them)."""
    if not source.is_dir():
        return []
    splits = [folder for folder in source.iterdir() if folder.is_dir() and folder.name.lower() in SPLIT_NAMES]
    folders = [source, source / "data", *splits]
    return sorted(folder / name for folder in folders for name in _METADATA if (folder / name).is_file())


AUDIOFOLDER = Importer(
    name="audiofolder",
    expects="a folder with metadata.csv or metadata.jsonl (column file_name) next to its audio, or in split folders",
    accepts=lambda source: bool(_metadata_files(source)),
    read=audiofolder_clips,
)


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
