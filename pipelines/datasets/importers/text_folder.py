"""A plain folder of audio files, each with its transcript in a text file of the same name: ``a.wav`` and ``a.txt``.

Folders at the top named train, dev, test … give splits. ``speaker=folder`` and ``label=folder`` take the name of the
folder that a file is in, ``top-folder`` that of the first folder below the source (or below a split's), ``name`` the
beginning of the file's name: ``anna_07.wav`` is anna's. A folder without any text file is taken too if the format is
named: some tasks need no words.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import (
    AUDIO_SUFFIXES,
    MEDIA_SUFFIXES,
    CorpusReader,
    recordings_below,
    sound_of,
)
from pipelines.datasets.importers.listing import ENCODING

_SEPARATOR = re.compile(r"[_\- ]+")


def text_folder_clips(source: Path, speaker: str = "", label: str = "", encoding: str = "") -> Iterator[SourceClip]:
    """Yield the audio files by name, each with its text. A missing file of a pair is a fault."""
    reader = CorpusReader(source, TEXT_FOLDER.expects, encoding)
    yield from reader.checked(_clips(reader, speaker, label))


def _clips(reader: CorpusReader, speaker: str, label: str) -> Iterator[SourceClip]:
    source, sounds = reader.source, recordings_below(reader.source)
    texts = {path for path in source.rglob("*.txt") if not path.name.startswith(".")}
    wanted = {audio.with_suffix(".txt") for audio in sounds}
    with_text = bool(texts & wanted)
    for audio in sounds:
        text, inner = audio.with_suffix(".txt"), audio.relative_to(source).parts[:-1]
        if with_text and text not in texts:
            reader.fault(audio, f"its text file {text.name} does not exist")
        folders = [name for name in inner if name.lower() not in SPLIT_NAMES] or [""]
        named = {"folder": folders[-1], "top-folder": folders[0], "name": beginning(audio.stem), "": ""}
        yield reader.clip(
            audio,
            text=" ".join(reader.text(text).split()) if text in texts else "",
            speaker=named[speaker],
            label=named[label],
            split=SPLIT_NAMES.get(inner[0].lower(), "") if inner else "",
        )
    for text in sorted(texts - wanted) if with_text else ():
        if text.stem.lower() not in _NO_TRANSCRIPTS:
            reader.fault(text, f"its audio file {sound_of(text.with_suffix('')).name} does not exist")


def beginning(stem: str) -> str:
    """Return the part of a file's name before the first separator, or before the digits at its end.

    Names of speakers often end in digits, so ``p225_001`` and ``p226_001`` are two of them.

    >>> beginning("anna_07"), beginning("Ben-take-2"), beginning("carla12"), beginning("007"), beginning("p225_001")
    ('anna', 'Ben', 'carla', '', 'p225')
    """
    first, *more = _SEPARATOR.split(stem.strip(), maxsplit=1)
    # a number alone is that of the recording
    return first if more and not first.isdecimal() else first.rstrip("0123456789")


def _accepts(source: Path) -> bool:
    if not source.is_dir():
        return False
    found = (path for path in source.rglob("*.txt") if not path.name.startswith("."))
    return any(path.with_suffix(suffix).is_file() for path in found for suffix in (*AUDIO_SUFFIXES, *MEDIA_SUFFIXES))


_PLACES, _NO_TRANSCRIPTS = ("folder", "top-folder", "name"), ("readme", "license", "licence", "copying", "changelog")
TEXT_FOLDER = Importer(
    name="text-folder",
    expects="a folder of audio files, each with a .txt file of the same name",
    accepts=_accepts,
    read=text_folder_clips,
    options=(
        FormatOption("speaker", "take the speaker from the file's folder, or from its name [default: none]", _PLACES),
        ENCODING,
        FormatOption("label", "take the label from the file's folder, or from its name [default: none]", _PLACES),
    ),
)
