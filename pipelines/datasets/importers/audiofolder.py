"""Hugging Face audiofolders: audio with a ``metadata.csv`` or ``metadata.jsonl`` beside it, splits as folders."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.datasets.importers.listing import listed_clip
from pipelines.datasets.source_clip import SPLIT_NAMES, Fault, Importer, SourceClip
from pipelines.errors import IntakeError

_METADATA = ("metadata.csv", "metadata.jsonl")
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"})


def metadata_files(source: Path) -> list[Path]:
    """Metadata files at the top of `source`, in its split folders and in ``data/`` (as `datasets` looks for them)."""
    if not source.is_dir():
        return []
    splits = [folder for folder in source.iterdir() if folder.is_dir() and folder.name.lower() in SPLIT_NAMES]
    folders = [source, source / "data", *splits]
    return sorted(folder / name for folder in folders for name in _METADATA if (folder / name).is_file())


def read(source: Path) -> Iterator[SourceClip]:
    """Clips of every metadata file, then the audio files that none of them names (as faults: `not_listed`).

    Raises:
        IntakeError: listing every broken row, missing file and file outside its folder.
    """
    faults: list[str] = []
    clips: list[SourceClip] = []
    for metadata in metadata_files(source):
        split = metadata.parent.name if metadata.parent != source else ""
        rows = _csv_rows(metadata) if metadata.suffix == ".csv" else _jsonl_rows(metadata)
        for where, row in rows:
            here: list[str] = [row] if isinstance(row, str) else []
            name = "" if isinstance(row, str) else str(row.get("file_name") or "")
            if not here and not name:
                here.append("file_name is missing")
            if not here and not isinstance(row, str):
                clip = listed_clip(row, name, metadata.parent, here, split if split.lower() in SPLIT_NAMES else "")
                clips.extend([clip] if clip else [])
            faults.extend(f"{metadata.relative_to(source)}, {where}: {fault}" for fault in here)
    if faults:
        raise IntakeError(f"{source} has {len(faults)} fault(s); mend the metadata, nothing was taken in", faults)
    if not clips:
        raise IntakeError(f"{source} names no clip; expected {IMPORTER.expects}")
    yield from clips
    yield from _unlisted(source, clips)


def _unlisted(source: Path, clips: list[SourceClip]) -> Iterator[SourceClip]:
    listed = {clip.audio for clip in clips}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and path.resolve() not in listed:
            fault = Fault("not_listed", "no metadata file names it")
            yield SourceClip(path.relative_to(source).as_posix(), path, fault=fault)


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    """Rows with the place they stand at; a row that is broken comes as a sentence about it."""
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            broken = None in row or None in row.values()
            fault = f"has another number of columns than the header ({len(reader.fieldnames or [])})"
            yield f"line {reader.line_num}", fault if broken else row
    except csv.Error as error:
        yield f"line {reader.line_num}", f"no CSV ({error})"


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    for number, line in enumerate(path.read_bytes().decode("utf-8", "surrogateescape").split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                row = f"no JSON ({error.msg} at column {error.colno})"
            yield f"line {number}", row if isinstance(row, (dict, str)) else "expected a JSON object"


IMPORTER = Importer(
    name="audiofolder",
    expects="a folder with metadata.csv or metadata.jsonl (column file_name) beside its audio, or in split folders",
    accepts=lambda source: bool(metadata_files(source)),
    read=read,
)
