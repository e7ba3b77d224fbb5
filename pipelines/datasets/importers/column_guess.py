"""What the columns of a table probably are: by their names in several languages, and by what is in them."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.importers.audio_table import USUAL_NAMES
from pipelines.datasets.importers.corpus_files import AUDIO_SUFFIXES, MEDIA_SUFFIXES, csv_quoting, is_file, sound_of
from pipelines.datasets.importers.manifest_rows import key_name, table_delimiter
from pipelines.datasets.importers.manifest_text import likely_encoding, read_text
from pipelines.errors import IntakeError

_ROWS, _FILES, _FOLDERS = 500, 20, 20
"""Rows, names of files and folders that are looked at."""
_HINTS: dict[str, tuple[str, ...]] = {
    "path": ("audio", "wav", "file", "datei", "fichier", "archivo", "音声", "ファイル", "文件", "音频", "파일", "файл"),
    "text": (
        *("text", "transcri", "transkri", "sentence", "satz", "phrase", "utterance", "wortlaut", "texte", "texto"),
        *("書き起こし", "書起", "文字起こし", "テキスト", "発話", "文本", "转写", "텍스트", "전사", "текст"),
    ),
    "speaker": (
        *("speaker", "spk", "sprecher", "locut", "hablante", "parlante", "person", "voice", "client"),
        *("話者", "発話者", "说话人", "화자", "диктор", "говорящ"),
    ),
    "label": ("label", "emotion", "intent", "class", "klasse", "absicht", "感情", "意図", "ラベル", "标签", "라벨"),
}
"""Parts of column names, lower case. More telling ones come first."""
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class TableShape:
    """A table as it was found."""

    columns: tuple[str, ...]
    """Names of the header."""
    encoding: str
    """For `--encoding`; empty for UTF-8 and for a text with a mark."""
    guess: Mapping[str, str]
    """The probable column of path, text, speaker and label; those without a probable column are left out."""
    folder: str = ""
    """Folder of the audio, relative to the table's, if it is another one."""

    @property
    def missing(self) -> list[str]:
        """The names of `USUAL_NAMES` that the table format would not find by itself."""
        own = {key_name(name): name for name in self.columns}
        usual = {what: next((own[name] for name in USUAL_NAMES[what] if name in own), "") for what in self.guess}
        return [what for what, column in self.guess.items() if usual[what] != column]


def table_shape(table: Path, encoding: str = "") -> TableShape:
    """Look at a CSV or TSV file; raise IntakeError if it cannot be read as text."""
    encoding = encoding or likely_encoding(table)
    _, delimiter, text = table_delimiter(
        read_text(table, encoding), USUAL_NAMES["path"], "\t" if table.suffix.lower() == ".tsv" else ","
    )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv_quoting(delimiter))
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [row for row, _ in zip(reader, range(_ROWS), strict=False) if len(row) == len(header)]
    except csv.Error as error:
        raise IntakeError(f"{table} is not a table ({error}); save it again as CSV") from error
    values = {name: [row[place].strip() for row in rows] for place, name in enumerate(header) if name}
    guess: dict[str, str] = {}
    path, folder = _path_column(table.parent, values)
    if path:
        guess["path"] = path
    tests: dict[str, Callable[[Sequence[str]], bool]] = {"speaker": _few, "label": _few, "text": _sentences}
    for what, fits in tests.items():
        free = [name for name in values if name not in guess.values()]
        named = _named(what, free)
        if named or what != "label":
            found = named or next(
                (name for name in free if _plain(what, name, values[name]) and fits(values[name])), ""
            )
            if found:
                guess[what] = found
    order = ("path", "text", "speaker", "label")
    return TableShape(tuple(header), encoding, {what: guess[what] for what in order if what in guess}, folder)


def _plain(what: str, name: str, values: Sequence[str]) -> bool:
    """Return whether a column may be guessed by its values alone: no other use of it is known by its name."""
    others = {one for key, names in USUAL_NAMES.items() if key != what for one in names}
    return key_name(name) not in others and bool(values)


def _named(what: str, names: Sequence[str]) -> str:
    """Return the column whose name says what it is: a usual name first, then one with a hint."""
    by_key = {key_name(name): name for name in names}
    usual = next((by_key[name] for name in USUAL_NAMES[what] if name in by_key), "")
    return usual or next((name for hint in _HINTS[what] for name in names if hint in name.casefold()), "")


def _path_column(folder: Path, values: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Return the column that names the audio, and the folder below the table's that the files are in."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    folders = [folder, *inner[:_FOLDERS]]
    best, where, most = "", "", 0.0
    for name, cells in values.items():
        some = [cell.replace("\\", "/") for cell in cells[:_FILES] if cell]
        for place in folders if some else ():
            share = sum(is_file(place / cell) or is_file(sound_of(place / cell)) for cell in some) / len(some)
            if share > most:
                best, most, where = name, share, "" if place == folder else place.name
    if most >= 0.5:
        return best, where
    suffixes = (*AUDIO_SUFFIXES, *MEDIA_SUFFIXES)
    named = [name for name, cells in values.items() if any(cell.lower().endswith(suffixes) for cell in cells)]
    return (named or [_named("path", [*values])])[0], ""


def _few(values: Sequence[str]) -> bool:
    """Return whether values repeat, as names do, and are not numbers of takes."""
    different = set(values) - {""}
    words = all(len(value) <= 40 and not value.replace(".", "").isdigit() for value in different)
    return 1 < len(different) <= len(values) / 2 and words


def _sentences(values: Sequence[str]) -> bool:
    """Return whether values are words, and not one of a few."""
    spoken = [value for value in values if _WORDS.search(value) and not value.replace(".", "").isdigit()]
    return len(spoken) >= 0.8 * max(1, len(values)) and len(set(spoken)) > 1
