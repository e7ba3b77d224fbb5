"""What the importers of published corpora share: their text files, the audio that these name, and faults by file."""

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from elp_core.errors import CorpusError
from elp_core.groups import group_text
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.importers.manifest_text import printable, read_text, undecodable
from pipelines.errors import IntakeError

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif")
MEDIA_SUFFIXES = (".m4a", ".mp4", ".aac", ".amr", ".3gp", ".webm", ".wma", ".mov", ".caf")
"""Of containers that `elp_core.media` reads: phone recordings and videos."""


@dataclass
class CorpusReader:
    """Reads the files of one source, and collects its faults, each with the file and the line that it is about."""

    source: Path
    expects: str
    """What the source has to look like, in one line."""
    encoding: str = ""
    """Of its text files, if they are not UTF-8."""
    root: Path | None = None
    """A declared folder of audio outside the source."""
    faults: list[str] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """Return a path as a name inside the source, with forward slashes."""
        tops = [self.source if self.source.is_dir() else self.source.parent, *([self.root] if self.root else [])]
        top = next((top for top in tops if path.is_relative_to(top)), None)
        return printable((path.relative_to(top) if top else path).as_posix())

    def root_of(self, path: Path) -> Path | None:
        """Return the declared root if a path is outside the source; None stands for the source."""
        return None if is_below(path, self.source if self.source.is_dir() else self.source.parent) else self.root

    def fault(self, path: Path, sentence: str, line: int = 0) -> None:
        """Note what is wrong with a file, or with one of its lines."""
        self.faults.append(f"{self.name(path)}{f', line {line}' if line else ''}: {sentence}")

    def lines(self, path: Path) -> Iterator[tuple[int, str]]:
        """Yield the lines of a text file that are not blank, with their numbers; a missing file is a fault."""
        for number, line in enumerate(self.text(path).split("\n"), 1):
            if line.strip():
                yield number, line

    def text(self, path: Path) -> str:
        """Return the text of a file; bytes that are not UTF-8 become lone surrogates. A missing file is a fault."""
        if not path.is_file():
            self.fault(path, "the file does not exist")
            return ""
        try:
            return read_text(path, self.encoding)
        except IntakeError as error:
            self.faults.append(str(error))
            return ""

    def keyed(self, path: Path, separator: str | None = None, *, empty: bool = True) -> dict[str, str]:
        """Return the lines of a file that are a key, a separator (None: blanks) and a text; a key twice is a fault.

        A line without text is a fault unless `empty` is allowed.
        """
        found: dict[str, str] = {}
        for number, line in self.lines(path):
            key, *rest = line.strip().split(separator, 1)
            key, text = key.strip(), rest[0].strip() if rest else ""
            if not key or not (text or empty):
                self.fault(path, f"expected a name and a text, got {printable(line.strip()[:60])!r}", number)
            elif found.setdefault(key, text) != text:
                self.fault(path, f"{printable(key)} has another text here than in an earlier line", number)
        return found

    def table(self, path: Path, delimiter: str, columns: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the rows of a table with a header, with their lines; a row of another length is a fault.

        A missing one of `columns` is a fault of the file. Tabs separate fields as they are, without quotes.
        """
        text = io.StringIO(self.text(path), newline="")
        rows = csv.DictReader(text, delimiter=delimiter, quoting=csv_quoting(delimiter), strict=True)
        try:
            missing = [name for name in columns if name not in (rows.fieldnames or ())]
            if rows.fieldnames and missing:
                has = ", ".join(map(printable, rows.fieldnames))
                self.fault(path, f"the column {', '.join(missing)} is missing; it has {has}", 1)
                return
            for row in rows:
                if None in row or None in row.values():
                    self.fault(path, f"it has not {len(rows.fieldnames or ())} fields, as the header", rows.line_num)
                else:
                    yield rows.line_num, row
        except csv.Error as error:
            self.fault(path, f"the table is malformed ({error})", rows.line_num)

    def named(self, audio: Path, listing: Path, line: int = 0, root: Path | None = None) -> Path | None:
        """Return a file that a listing names; a missing one, or one outside the source (or `root`), is a fault."""
        top = root or (self.source if self.source.is_dir() else self.source.parent)
        if not is_below(audio, top):
            more = "" if root else "; if it is in a folder of audio elsewhere, name that with --root DIR"
            self.fault(listing, f"the file {printable(str(audio))!r} is outside {top}{more}", line)
        elif not is_file(audio):
            self.fault(listing, f"the file {self.name(audio)} does not exist", line)
        else:
            return audio
        return None

    def clip(self, audio: Path, **words: Any) -> SourceClip:
        """Return the clip of a file; one whose words are not UTF-8 has that fault."""
        texts = {key: value for key, value in words.items() if isinstance(value, str)}
        broken = any(map(undecodable, texts.values()))
        words |= {key: printable(value) for key, value in texts.items()}
        if broken:
            words["fault"] = ClipFault("not_utf8", "the transcript or its labels are not UTF-8")
        return SourceClip(self.name(audio), audio, **words)

    def unlisted(self, folder: Path, listed: Iterable[Path], why: str) -> Iterator[SourceClip]:
        """Yield the audio below a folder that is not `listed`, as clips with the fault ``not_listed``."""
        known = set(listed)
        for path in audio_files(folder):
            if path not in known:
                yield self.clip(path, fault=ClipFault("not_listed", why))

    def checked(self, clips: Iterable[SourceClip], *, held: bool = True) -> Iterator[SourceClip]:
        """Yield the clips if the source has no fault, else raise an IntakeError with all faults.

        The clips are held until all are read, so that a fault is found before any audio is opened. Clips that carry
        their audio are not held: they are yielded up to the first fault.
        """
        found = 0
        for clip in list(clips) if held else clips:
            if not self.faults:
                found += 1
                yield clip
        if self.faults:
            raise IntakeError.of_faults(self.source, self.faults)
        if not found:
            raise IntakeError(f"{self.source} names no clip; expected {self.expects}")


def known_groups(reader: CorpusReader, path: Path, line: int, **values: str) -> str:
    """Return the groups that a corpus says of a speaker, in their normal form; what is not understood is a fault."""
    try:
        return group_text(values)
    except CorpusError as error:
        reader.fault(path, str(error), line)
        return ""


def short_gender(text: str) -> str:
    """Return ``f`` or ``m`` for the ways in which corpora write them; any other text in lower case.

    >>> short_gender("Female"), short_gender(" M"), short_gender("non-binary")
    ('f', 'm', 'non-binary')
    """
    name = text.strip().lower()
    return {"female": "f", "male": "m", "female_feminine": "f", "male_masculine": "m"}.get(name, name)


def csv_quoting(delimiter: str) -> Literal[0, 3]:
    """Return csv's way of quoting for a delimiter: fields between tabs or bars are taken as they are."""
    return csv.QUOTE_NONE if delimiter in "\t|" else csv.QUOTE_MINIMAL


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files below a folder, sorted; hidden files are left out, such as those of macOS."""
    return _files_with(folder, AUDIO_SUFFIXES)


def recordings_below(folder: Path) -> list[Path]:
    """Return the audio files below a folder, sorted; if there is none, the phone recordings and videos."""
    return audio_files(folder) or _files_with(folder, MEDIA_SUFFIXES)


def _files_with(folder: Path, suffixes: Collection[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def sound_of(stem: Path, expected: str = ".wav") -> Path:
    """Return the audio file of this name without suffix; if there is none, the name with the `expected` suffix."""
    found = (Path(f"{stem}{suffix}") for suffix in AUDIO_SUFFIXES)
    return next((path for path in found if is_file(path)), Path(f"{stem}{expected}"))


def is_file(path: Path) -> bool:
    """Return whether there is such a file; a name that no file system takes is the name of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_below(path: Path, folder: Path) -> bool:
    """Return whether a path, without its links, is below a folder."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        return False


def number(text: object) -> float | None:
    """Return a finite number that is written as a text or is one; None for anything else."""
    try:
        value = float(text) if isinstance(text, (str, int, float)) and not isinstance(text, bool) else math.nan
        # Python reads 1_0 as 10
        value = math.nan if isinstance(text, str) and "_" in text else value
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def named_columns(text: str) -> dict[str, str]:
    """Return the column of each name in ``NAME=COLUMN,…``; an empty one for a name without an equals sign."""
    return dict(name.partition("=")[::2] for name in comma_list(text))


def comma_list(text: str) -> list[str]:
    """Return the parts of a text with commas, trimmed, without empty ones."""
    return [part for part in map(str.strip, text.split(",")) if part]
