"""NeMo manifests: one JSON object a line with `audio_filepath`, `text`, `speaker` and so on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.importers.listing import listed_clip
from pipelines.datasets.source_clip import SPLIT_NAMES, Importer, SourceClip
from pipelines.errors import IntakeError

_SUFFIXES = (".jsonl", ".json")


def manifests(source: Path) -> list[Path]:
    """The manifest that `source` is, or those that lie in it (``manifest.jsonl``, ``train_manifest.json`` …)."""
    if source.is_file():
        return [source] if source.suffix in _SUFFIXES else []
    found = (path for path in source.glob("*manifest*") if path.suffix in _SUFFIXES and path.is_file())
    return sorted(found)


def read(source: Path) -> Iterator[SourceClip]:
    """Clips of all manifests of `source`, in the order of the lines. Audio paths are relative to the manifest.

    An object may also name ``speaker``, ``label``, ``split``, ``condition`` and ``offset`` (which, with ``duration``,
    cuts a clip out of a longer file). ``train_manifest.json`` gives its split to the lines that name none.

    Raises:
        IntakeError: listing every broken line, missing file and file outside the manifest's folder.
    """
    faults: list[str] = []
    clips: list[SourceClip] = []
    for manifest in manifests(source):
        prefix = manifest.name.split("manifest")[0].strip("_-.").lower()
        split = prefix if prefix in SPLIT_NAMES else ""
        # bytes that are no UTF-8 become lone surrogates, and the one clip concerned is told apart later
        for number, line in enumerate(manifest.read_bytes().decode("utf-8", "surrogateescape").split("\n"), 1):
            if line.strip():
                here: list[str] = []
                clip = _clip(line, manifest.parent, split, here)
                faults.extend(f"{manifest.name}, line {number}: {fault}" for fault in here)
                if clip:
                    clips.append(clip)
    if faults:
        raise IntakeError(f"{source} has {len(faults)} fault(s); mend the manifest, nothing was taken in", faults)
    if not clips:
        raise IntakeError(f"{source} names no clip; expected {IMPORTER.expects}")
    yield from clips


def _clip(line: str, folder: Path, split: str, faults: list[str]) -> SourceClip | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        faults.append(f"no JSON ({error.msg} at column {error.colno})")
        return None
    if not isinstance(row, dict):
        faults.append("expected a JSON object")
        return None
    name = row.get("audio_filepath")
    if not isinstance(name, str) or not name:
        faults.append("audio_filepath is missing")
        return None
    return listed_clip(row, name, folder, faults, split)


IMPORTER = Importer(
    name="nemo",
    expects="a JSONL manifest with audio_filepath, text, speaker … or a folder that holds one",
    accepts=lambda source: bool(manifests(source)),
    read=read,
)
