"""CSV and TSV tables of audio files, with any names of columns: ``--columns path=file,text=sentence,speaker=voice``.

Columns without a header are named by their numbers: ``--columns path=1,text=3``. Without the option, the usual names
are recognised. Files are relative to the table's folder, or to ``folder``; a name without suffix gets that of the file.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import (
    AUDIO_SUFFIXES,
    MEDIA_SUFFIXES,
    CorpusReader,
    csv_quoting,
    is_file,
    named_columns,
    sound_of,
)
from pipelines.datasets.importers.listing import ENCODING, ROOT, part_or_whole
from pipelines.datasets.importers.manifest_rows import key_name, table_delimiter
from pipelines.datasets.importers.manifest_text import printable
from pipelines.datasets.importers.named_files import declared_root
from pipelines.datasets.importers.row_values import (
    channel_value,
    group_value,
    language_value,
    refuse_times,
    seconds_value,
)

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "audio", "audio_path", "audio_filepath", "wav", "wav_filename"),
    "text": ("text", "sentence", "transcript", "transcription"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk"),
    "label": ("label", "emotion", "intent"),
    "split": ("split", "set", "subset"),
    "condition": ("condition",),
    "offset": ("offset", "start"),
    "duration": ("duration",),
    "channel": ("channel", "channel_selector"),
    "group": ("group",),
}
"""Names of columns that are recognised, by what they are; an upper-case name counts, too."""
_SUFFIXES = (".csv", ".tsv")


def table_clips(
    source: Path, columns: str = "", folder: str = "", encoding: str = "", root: str = ""
) -> Iterator[SourceClip]:
    """Yield the clips of the rows, in their order."""
    reader = CorpusReader(source, TABLE.expects, encoding, declared_root(root))
    yield from reader.checked(_clips(reader, columns, source.parent / folder))


def _clips(reader: CorpusReader, columns: str, folder: Path) -> Iterator[SourceClip]:
    table = reader.source
    chosen = named_columns(columns)
    if unknown := sorted(chosen.keys() - USUAL_NAMES.keys()) or [name for name, of in chosen.items() if not of]:
        reader.fault(table, f"columns has {', '.join(unknown)}, expected NAME=COLUMN with {', '.join(USUAL_NAMES)}")
        return
    for line, values, others in _rows(reader, chosen):
        audio = _audio(reader, folder, values["path"])
        if not values["path"].strip():
            reader.fault(table, "the name of the audio file is empty", line)
        elif (found := reader.named(audio, table, line, reader.root_of(audio))) and (
            words := _words(reader, values, others, line, found)
        ):
            yield reader.clip(found, **words)


def _audio(reader: CorpusReader, folder: Path, name: str) -> Path:
    """Return the file that a row names; one without suffix gets that of the file that is there."""
    path = Path(name.replace("\\", "/"))
    places = [folder / path, *([reader.root / path] if reader.root else [])]
    if path.suffix.lower() not in (*AUDIO_SUFFIXES, *MEDIA_SUFFIXES):
        places = [*map(sound_of, places)]
    audio = next(filter(is_file, places), places[0])
    # below the declared root without links: its name is that below the root
    return audio.resolve() if reader.root_of(audio) and is_file(audio) else audio


def _words(
    reader: CorpusReader, values: Mapping[str, str], others: Mapping[str, str], line: int, audio: Path
) -> dict[str, Any]:
    """Return the clip's columns other than its file; empty after a fault, such as a time in one of the `others`."""
    before = len(reader.faults)
    split = values.get("split", "").strip()
    if split and split.lower() not in SPLIT_NAMES:
        reader.fault(
            reader.source, f"unknown split {printable(split)!r}, expected one of {', '.join(SPLIT_NAMES)}", line
        )
    faults: list[str] = []
    start, duration = (seconds_value(values, name, faults) for name in ("offset", "duration"))
    channel, language = channel_value(values, faults), language_value(others, faults)
    group = group_value(values, faults)
    refuse_times(others, faults)
    for fault in faults:
        reader.fault(reader.source, fault, line)
    if len(reader.faults) > before:
        return {}
    seconds, declared = duration, None
    if start is None and duration is not None:
        seconds, declared = part_or_whole(audio, duration)
    return {
        **{name: values.get(name, "").strip() for name in ("text", "speaker", "label", "condition")},
        "split": SPLIT_NAMES.get(split.lower(), ""),
        "start": start or 0.0,
        "seconds": seconds,
        "declared": declared,
        "channel": channel,
        "language": language,
        "group": group,
    }


def _rows(reader: CorpusReader, chosen: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str], dict[str, str]]]:
    """Yield the line of each row, its values by what they are, and those of the other columns by their names."""
    table = reader.source
    numbered = bool(chosen) and all(of.isdigit() for of in chosen.values())
    # a first line that is no header has words of a transcript, which may be names of columns
    wanted = () if numbered else {*USUAL_NAMES["path"], *map(key_name, chosen.values())}
    skipped, delimiter, text = table_delimiter(
        reader.text(table), wanted, "\t" if table.suffix.lower() == ".tsv" else ","
    )
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv_quoting(delimiter), strict=True)
    try:
        header = [] if numbered else [name.strip() for name in next(rows, [])]
        places = _places(reader, chosen, header, numbered)
        others = {key_name(name): place for place, name in enumerate(header) if place not in places.values()}
        for fields in rows if places else ():
            if not any(map(str.strip, fields)):
                continue
            if len(fields) != len(header) if header else len(fields) <= max(places.values()):
                reader.fault(
                    table, f"it has {len(fields)} fields, expected {len(header) or 'more'}", rows.line_num + skipped
                )
            else:
                known, rest = ({name: fields[place] for name, place in some.items()} for some in (places, others))
                yield rows.line_num + skipped, known, rest
    except csv.Error as error:
        reader.fault(table, f"the table is malformed ({error})", rows.line_num + skipped)


def _places(reader: CorpusReader, chosen: Mapping[str, str], header: list[str], numbered: bool) -> dict[str, int]:
    """Return the position of each column; empty after a fault."""
    if numbered:
        places = {name: int(of) - 1 for name, of in chosen.items()}
    else:
        if twice := [name for name, count in Counter(header).items() if count > 1 and name]:
            reader.fault(reader.source, f"the column {printable(twice[0])} occurs twice; rename or remove one", 1)
            return {}
        lower = [key_name(name) for name in header]
        usual = {what: name for what, names in USUAL_NAMES.items() for name in reversed(names) if name in lower}
        places = {what: lower.index(name) for what, name in usual.items() if what not in chosen}
        if gone := [of for of in chosen.values() if of not in header]:
            has = ", ".join(map(printable, header))
            reader.fault(reader.source, f"there is no column {', '.join(gone)}; it has {has}", 1)
            return {}
        places |= {what: header.index(of) for what, of in chosen.items()}
    if "path" not in places or min(places.values()) < 0:
        has = ", ".join(map(printable, header)) or "no header"
        reader.fault(reader.source, f"which column names the audio? it has {has}; say it with --columns path=…", 1)
        return {}
    return places


TABLE = Importer(
    name="table",
    expects="a CSV or TSV file with a column path (or file, audio …); other names with --columns path=…,text=…",
    accepts=lambda source: source.is_file() and source.suffix.lower() in _SUFFIXES,
    read=table_clips,
    options=(
        FormatOption("columns", f"which column is what: {', '.join(USUAL_NAMES)} [default: the usual names]"),
        FormatOption("folder", "folder of the audio, relative to the table [default: that of the table]"),
        ENCODING,
        ROOT,
    ),
)
