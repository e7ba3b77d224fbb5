"""Find out what a source is: its format, the options that the format needs, and what its clips could be used for."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer
from pipelines.datasets.importers import IMPORTERS, accepting, choose_importer
from pipelines.datasets.importers.audio_table import TABLE
from pipelines.datasets.importers.column_guess import TableShape, table_shape
from pipelines.datasets.importers.corpus_files import AUDIO_SUFFIXES, MEDIA_SUFFIXES, is_below, recordings_below
from pipelines.datasets.importers.manifest_rows import key_name, manifest_rows
from pipelines.datasets.importers.manifest_text import common_encoding, read_text
from pipelines.datasets.importers.nemo import NEMO
from pipelines.datasets.importers.text_folder import TEXT_FOLDER, beginning
from pipelines.errors import IntakeError

_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_PACKED = (".zip", ".7z", ".rar", ".gz", ".tgz", ".tar")
_TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
_READ: Mapping[str, tuple[str, ...]] = {
    "srt": (".srt",),
    "vtt": (".vtt",),
    "stm": (".stm",),
    "ctm": (".ctm",),
    "rttm": (".rttm", ".txt"),
    "audacity": (".txt",),
    "label-studio": (".json",),
    "kaldi": ("text", "utt2spk", "wav.scp", "segments"),
}
"""Ends of names, and whole names, of the files that some formats read; the others read `_TEXTS`."""
_LOOKED_AT = 50


@dataclass(frozen=True)
class Reading:
    """One way to read a source."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Of the format."""
    tasks: tuple[str, ...] = ()
    """The tasks that it is for; empty if the clips decide."""
    meaning: str = ""
    """What it takes for granted, in words, if there is another reading."""


@dataclass(frozen=True)
class SourceShape:
    """What a source is."""

    source: Path
    """What to deliver: the source, or the table inside it."""
    importer: Importer | None
    """None if no format reads it: `problem` says what to do."""
    readings: tuple[Reading, ...] = (Reading(),)
    findings: tuple[str, ...] = ()
    """Sentences on what was found."""
    problem: str = ""
    named: bool = False
    """Whether the format is not recognised without `--format`."""
    table: TableShape | None = None


def find_shape(source: Path, name: str | None, options: Mapping[str, str]) -> SourceShape:
    """Look at a source; `name` and `options` are the format and its options, as far as they are known.

    Raise IntakeError if the source does not exist, UsageError for an unknown format or option.
    """
    if not source.exists():
        raise IntakeError(f"{source} does not exist; give a manifest, a folder or an archive")
    accepted = accepting(source) if name is None else (choose_importer(source, name, options),)
    if source.is_file() and source.suffix.lower() in _SHEETS:
        return SourceShape(source, None, problem=_of_sheet(source))
    if not accepted:
        return _unknown(source, options)
    shape = SourceShape(source, accepted[0], (Reading(options),))
    if len(accepted) > 1:
        others = ", ".join(one.name for one in accepted[1:])
        shape = replace(shape, findings=(f"it is also {others}: choose with --format",))
    if accepted[0] == TABLE:
        return _of_table(shape, options)
    if accepted[0] == TEXT_FOLDER:
        return _of_folder(source, options, named=name is not None)
    return _with_found(shape, options, _text_files(source, accepted[0].name))


def _with_found(shape: SourceShape, options: Mapping[str, str], texts: Iterable[Path]) -> SourceShape:
    """Add the encoding and the root that a format needs, if it has such options."""
    assert shape.importer is not None
    known = {option.name for option in shape.importer.options} - options.keys()
    found: dict[str, str] = {}
    if "encoding" in known:
        encoding, differ = common_encoding(texts)
        found |= {"encoding": encoding} if encoding else {}
        shape = replace(shape, findings=(*shape.findings, differ)) if differ else shape
    if "root" in known and shape.importer == NEMO and shape.source.is_file():
        rows = manifest_rows(shape.source, read_text(shape.source, found.get("encoding", "")), "audio_filepath")
        names = (str(row.get("audio_filepath", "")) for _, row in rows if isinstance(row, Mapping))
        if root := _root(shape.source.parent, names):
            found["root"] = root
    return replace(shape, readings=tuple(replace(one, options={**one.options, **found}) for one in shape.readings))


def _of_table(shape: SourceShape, options: Mapping[str, str]) -> SourceShape:
    found = table_shape(shape.source, options.get("encoding", ""))
    has = f"its columns are {', '.join(found.columns) or '(none)'}"
    new = dict(options)
    if found.encoding:
        new.setdefault("encoding", found.encoding)
    if "columns" not in options:
        if "path" not in found.guess:
            said = ", ".join(f"{what}={column}" for what, column in found.guess.items())
            likely = f" (probably {said})" if said else ""
            problem = (
                f"no column names the audio files; {has}{likely}. Add a column with the names of the files, or say "
                "which one it is: --columns path=COLUMN,text=COLUMN,speaker=COLUMN"
            )
            return replace(shape, problem=problem, table=found)
        if found.missing:
            new["columns"] = ",".join(f"{what}={column}" for what, column in found.guess.items())
    if found.folder:
        new.setdefault("folder", found.folder)
    names = _column(shape.source, found) if "path" in found.guess and "root" not in new else ()
    if root := _root(shape.source.parent, names):
        new["root"] = root
    guessed = ", ".join(f"{column} is the {what}" for what, column in found.guess.items())
    findings = (*shape.findings, has, *([f"taken for granted: {guessed}"] if found.missing else []))
    return replace(shape, readings=(Reading(new),), findings=findings, table=found)


def _column(table: Path, shape: TableShape) -> Iterator[str]:
    key = key_name(shape.guess["path"])
    try:
        for _, row in itertools.islice(manifest_rows(table, read_text(table, shape.encoding), key), _LOOKED_AT):
            if isinstance(row, Mapping):
                yield str(row.get(key) or "")
    except IntakeError:
        # what is wrong with the table is said when it is read
        return


def _of_folder(source: Path, options: Mapping[str, str], *, named: bool) -> SourceShape:
    """Return the readings of a folder of recordings: what their folders and the beginnings of their names stand for."""
    sounds = recordings_below(source)
    texts = sum(path.with_suffix(".txt").is_file() for path in sounds)
    shape = SourceShape(source, TEXT_FOLDER, (Reading(options),), named=not texts and not named)
    if {"speaker", "label"} & options.keys():
        return shape
    folders = Counter(_folder(source, path) for path in sounds)
    names = Counter(beginning(path.stem) for path in sounds)
    place, groups = ("folder", folders) if _groups(folders, sounds) else ("name", names)
    if not _groups(groups, sounds):
        return _with_found(shape, options, _text_files(source))
    shown = ", ".join(itertools.islice((name for name, _ in groups.most_common()), 5))
    kind, more = "folders" if place == "folder" else "beginnings of the names", " …" if len(groups) > 5 else ""
    what = f"the {kind} ({shown}{more})"
    speakers = Reading({**options, "speaker": place}, ("asr",) if texts else ("asv",), f"{what} are speakers")
    classes = Reading({**options, "label": place}, ("sic", "ser"), f"{what} are classes, such as intents or emotions")
    readings = (speakers, Reading(options, ("asr",), f"{what} mean nothing")) if texts else (speakers, classes)
    return _with_found(replace(shape, readings=readings), options, _text_files(source))


def _folder(source: Path, path: Path) -> str:
    inner = [name for name in path.relative_to(source).parts[:-1] if name.lower() not in SPLIT_NAMES]
    return inner[-1] if inner else ""


def _groups(counts: Counter[str], sounds: list[Path]) -> bool:
    """Return whether names divide the recordings: two and more, each with two recordings on average."""
    return 1 < len(counts) <= len(sounds) / 2 and "" not in counts


def _unknown(source: Path, options: Mapping[str, str]) -> SourceShape:
    """Return what a source is that no format accepts: a folder with a table or with recordings only, or nothing."""
    if source.is_file():
        suffix = source.suffix.lower()
        if suffix in (*AUDIO_SUFFIXES, *MEDIA_SUFFIXES):
            problem = f"it is one recording; give its folder, {source.parent}, or a table that names it"
        elif suffix in _PACKED:
            problem = "it is an archive; unpack it and give the folder"
        else:
            problem = "it is no table, no manifest and no folder of recordings; see docs/reference/deliveries.md"
        return SourceShape(source, None, problem=problem)
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    tables = [path for path in files if path.suffix.lower() in (".csv", ".tsv")]
    sheets = [path for path in files if path.suffix.lower() in _SHEETS]
    if len(tables) == 1:
        shape = _of_table(SourceShape(tables[0], TABLE, (Reading(options),)), options)
        return replace(shape, findings=(f"the table {tables[0].relative_to(source)} describes it", *shape.findings))
    if len(tables) > 1:
        names = ", ".join(str(path.relative_to(source)) for path in tables[:5])
        return SourceShape(
            source, None, problem=f"it has {len(tables)} tables ({names}); give the one that names the audio"
        )
    if sheets:
        return SourceShape(source, None, problem=_of_sheet(sheets[0]))
    if recordings_below(source):
        return _of_folder(source, options, named=False)
    kinds = Counter(path.suffix.lower() or "(none)" for path in files)
    has = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5)) or "no file"
    return SourceShape(source, None, problem=f"it has no recording of a known type ({has}); nearest: {_nearest(files)}")


def _of_sheet(sheet: Path) -> str:
    return (
        f"{sheet.name} is a spreadsheet: save it as CSV next to its recordings (in Excel: Save As, CSV UTF-8), and "
        "inspect that file"
    )


def _nearest(files: list[Path]) -> str:
    """Return the format whose files a folder has some of, in words."""
    endings = {path.suffix.lower() for path in files}
    for importer in IMPORTERS:
        if any(ending and ending in importer.expects for ending in endings):
            return f"{importer.name} ({importer.expects})"
    return f"{TABLE.name} ({TABLE.expects})"


def _root(folder: Path, names: Iterable[str]) -> str:
    """Return the folder of the absolute paths that lead outside a folder and exist; empty if there are none."""
    outside = [
        Path(name).parent
        for name in itertools.islice(names, _LOOKED_AT)
        if name.startswith("/") and Path(name).is_file() and not is_below(Path(name), folder)
    ]
    return os.path.commonpath(outside) if outside else ""


def _text_files(source: Path, importer: str = "") -> list[Path]:
    """Return text files of a source that its format reads, some of them: they show its encoding."""
    wanted = _READ.get(importer, _TEXTS)
    if source.is_file():
        return [source] if source.suffix.lower() in (*_TEXTS, *wanted) else []
    found = (path for path in source.rglob("*") if {path.suffix.lower(), path.name} & {*wanted} and path.is_file())
    return [*itertools.islice((path for path in sorted(found) if not path.name.startswith(".")), _LOOKED_AT)]
