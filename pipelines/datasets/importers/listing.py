"""Rows of a manifest or a metadata file, told apart into clips and faults: what both of those formats share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elp_core.types import Seconds, Split
from pipelines.datasets.source_clip import SPLIT_NAMES, Fault, SourceClip, printable, undecodable

TEXT_KEYS = ("text", "transcription", "transcript", "sentence")
SPEAKER_KEYS = ("speaker", "speaker_id")


def listed_clip(
    row: Mapping[str, Any], name: str, folder: Path, faults: list[str], split: str = ""
) -> SourceClip | None:
    """The clip that a row describes, or None with what is wrong in `faults`.

    Args:
        row: keys and values as the source has them.
        name: of the audio file, relative to `folder` or absolute.
        folder: the delivery's folder; a file outside it is a fault.
        faults: gets one sentence for each fault of the row.
        split: used where the row names none.
    """
    before = len(faults)
    named = (folder / name).resolve()
    if not named.is_relative_to(folder.resolve()):
        faults.append(f"{printable(name)} lies outside {folder}")
    elif not named.is_file():
        faults.append(f"{printable(name)} is not there")
    chosen = _split(row, split, faults)
    start, seconds = _seconds(row, "offset", faults), _seconds(row, "duration", faults)
    if len(faults) > before:
        return None
    text = _first(row, TEXT_KEYS)
    values = [text, *(_first(row, keys) for keys in (SPEAKER_KEYS, ("label",), ("condition",)))]
    fault = Fault("not_utf8", "the transcript or its labels are not UTF-8") if any(map(undecodable, values)) else None
    text, speaker, label, condition = map(printable, values)
    return SourceClip(
        path=printable(named.relative_to(folder.resolve()).as_posix()),
        audio=named,
        text=text,
        speaker=speaker,
        label=label,
        split=chosen,
        condition=condition,
        start=start or 0.0,
        # a manifest's duration cuts the file only where it also says where to begin
        seconds=seconds if start is not None else None,
        fault=fault,
    )


def _first(row: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of `keys` that holds something, as text."""
    for key in keys:
        value = row.get(key)
        if value is not None and value != "":
            return str(value)
    return ""


def _split(row: Mapping[str, Any], default: str, faults: list[str]) -> Split | Any:
    name = _first(row, ("split",)) or default
    if name and name.lower() not in SPLIT_NAMES:
        faults.append(f"unknown split {printable(name)!r}, expected one of {', '.join(sorted(SPLIT_NAMES))}")
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
        faults.append(f"{key} is {value!r}, expected seconds")
        return None
    return number
