"""Manifests and metadata files: their lines become clips, and every fault is named with its line.

`manifest_text` reads the file, `manifest_rows` its rows, `row_values` the values of a row by their types; `named_files`
finds the audio, and `manifest_faults` collects what is wrong.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from elp_core.containers import lengths_differ
from elp_core.types import Seconds, Split
from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.file_seconds import file_seconds
from pipelines.datasets.importers.manifest_faults import ManifestFaults
from pipelines.datasets.importers.manifest_rows import manifest_rows
from pipelines.datasets.importers.manifest_text import printable, read_text, undecodable
from pipelines.datasets.importers.named_files import NamedFiles, declared_root
from pipelines.datasets.importers.row_values import (
    channel_value,
    group_value,
    language_value,
    refuse_times,
    seconds_value,
    text_value,
)
from pipelines.errors import IntakeError

ENCODING = FormatOption("encoding", "Encoding of the manifest, such as cp932; without it, UTF-8 or what its mark says.")
"""Option of every format with manifests."""
ROOT = FormatOption("root", "Folder outside the source that the listing may name files of, by absolute paths, too.")
TEXT_KEYS = ("text", "transcription", "transcript", "sentence")
SPEAKER_KEYS = ("speaker", "speaker_id")
_TRANSCRIPT_BYTES = 2**20


def listed_clips(
    source: Path, listings: Iterable[tuple[Path, str]], key: str, expects: str, encoding: str = "", root: str = ""
) -> list[SourceClip]:
    """Return the clips that the listings of a source describe, in the order of their lines.

    Each listing, a table or JSON, has the split of the lines that name none, or an empty text. `key` names the audio
    file, relative to the listing's folder; `encoding` is that of listings without a byte order mark; `root` is one
    more folder that may be named, with absolute paths, too. An IntakeError lists every line that is malformed, names a
    file that is missing or outside these folders, or says something that is not read; if there is no clip, it says what
    was expected.
    """
    faults = ManifestFaults(source)
    clips: list[SourceClip] = []
    for listing, split in listings:
        files = NamedFiles(listing.parent, declared_root(root))
        for line, row in manifest_rows(listing, read_text(listing, encoding), key):
            if isinstance(row, str):
                faults.add(listing, line, row)
                continue
            here: list[str] = []
            clip = clip_of_row(row, key, files, here, split, encoding)
            for fault in here:
                faults.add(listing, line, fault, printable(str(row.get(key))))
            if clip:
                clips.append(clip)
    faults.raise_any()
    if not clips:
        raise IntakeError(f"{source} names no clip; expected {expects}")
    return clips


def clip_of_row(
    row: Mapping[str, Any], key: str, files: NamedFiles, faults: list[str], split: str = "", encoding: str = ""
) -> SourceClip | None:
    """Return the clip that a row describes, or None with its faults in `faults`.

    Names and transcripts are text, numbers seconds; null, NaN and empty are missing. What changes the meaning of a clip
    and is not read here is a fault; other keys are ignored.
    """
    name = text_value(row, (key,), faults)
    if not name:
        faults.append(f"{key} is missing")
        return None
    audio = files.find(name)
    if isinstance(audio, str):
        faults.append(audio)
    values = [text_value(row, keys, faults) for keys in (TEXT_KEYS, SPEAKER_KEYS, ("label",), ("condition",))]
    text = values[0] or _transcript_file(row, files, encoding, faults)
    if any(map(undecodable, values[1:])):
        # a name that is altered would never be found again, by an erasure above all
        faults.append("a name has bytes that are not UTF-8; correct them, or name the encoding with --encoding")
    chosen = _split(row, split, faults)
    start, seconds = seconds_value(row, "offset", faults), seconds_value(row, "duration", faults)
    channel, language = channel_value(row, faults), language_value(row, faults)
    group = group_value(row, faults)
    refuse_times(row, faults)
    if faults or isinstance(audio, str):
        return None
    declared = None
    if start is None and seconds is not None:
        seconds, declared = part_or_whole(audio, seconds)
    return SourceClip(
        path=files.name(audio),
        audio=audio,
        text=text,
        speaker=values[1],
        label=values[2],
        split=chosen,
        condition=values[3],
        start=start or 0.0,
        seconds=seconds,
        channel=channel,
        declared=declared,
        language=language,
        group=group,
        fault=ClipFault("not_utf8", "the transcript is not UTF-8") if undecodable(text) else None,
    )


def part_or_whole(audio: Path, duration: Seconds) -> tuple[Seconds | None, Seconds | None]:
    """Return the length of the part from the beginning, or None and the length that the manifest gives the file.

    The default of `offset` is 0, so a duration that is shorter than the file cuts it, as in NeMo. One that is longer
    stays a claim about the file, which intake compares with the sound. One that agrees says nothing new.
    """
    lasts = file_seconds(audio)
    if lasts is None:
        return None, duration
    if not lengths_differ(lasts, duration):
        return None, None
    return (duration, None) if duration < lasts else (None, duration)


def _split(row: Mapping[str, Any], default: str, faults: list[str]) -> Split | Literal[""]:
    name = (text_value(row, ("split",), faults) or default).strip()
    if name and name.lower() not in SPLIT_NAMES:
        faults.append(f"unknown split {printable(name)!r}, expected one of {', '.join(sorted(SPLIT_NAMES))}")
    return SPLIT_NAMES.get(name.lower(), "")


def _transcript_file(row: Mapping[str, Any], files: NamedFiles, encoding: str, faults: list[str]) -> str:
    """Return the transcript in the file that `text_filepath` names, as in NeMo; empty if the row has none."""
    name = text_value(row, ("text_filepath",), faults)
    if not name:
        return ""
    found = files.find(name)
    if isinstance(found, str):
        faults.append(f"text_filepath: {found}")
    elif found.stat().st_size > _TRANSCRIPT_BYTES:
        faults.append(f"text_filepath: {printable(name)} has more than 1 MiB, expected a transcript")
    else:
        try:
            return " ".join(read_text(found, encoding).split("\n")).strip()
        except IntakeError as error:
            faults.append(f"text_filepath: {error.args[0]}")
    return ""


def files_below(folder: Path, suffixes: Iterable[str]) -> Iterator[Path]:
    """Yield the files in a folder with one of the suffixes, in any case, sorted; of a folder that is closed, none."""
    wanted = {suffix.lower() for suffix in suffixes}
    with contextlib.suppress(OSError):
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in wanted and path.is_file())
