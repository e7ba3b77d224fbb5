"""LibriSpeech, and the 10 h set of Libri-Light for fine-tuning: FLAC files by speaker and chapter with `*.trans.txt`.

LibriSpeech: ``LibriSpeech/<part>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac`` with SPEAKERS.TXT at the top;
the part (``train-clean-100``, ``dev-other`` …) gives the split, and SPEAKERS.TXT the gender. Libri-Light:
``librispeech_finetuning/1h/<0..5>/<clean or other>/…`` and ``9h/<clean or other>/…``; all of it is for training.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import (
    CorpusReader,
    audio_files,
    comma_list,
    known_groups,
    short_gender,
    sound_of,
)

_PART = re.compile(r"(train|dev|test)-(clean|other)(?:-\d+)?")
_LIMITED = {"10min": ("1h/0",), "1h": ("1h",), "10h": ("1h", "9h")}
_FINETUNING = "librispeech_finetuning"


def librispeech_clips(source: Path, parts: str = "", subset: str = "10h") -> Iterator[SourceClip]:
    """Yield the clips of all parts, by their folders; audio that no transcript names has the fault `not_listed`."""
    reader = CorpusReader(source, LIBRISPEECH.expects)
    yield from reader.checked(_clips(reader, parts, subset))


def _clips(reader: CorpusReader, parts: str, subset: str) -> Iterator[SourceClip]:
    folders = _limited(reader.source, subset) or _parts(reader.source)
    if unknown := set(comma_list(parts)) - {folder.name for folder in folders}:
        reader.fault(reader.source, f"there is no part {', '.join(sorted(unknown))}")
    published, genders = _speakers(reader)
    for folder in folders:
        named = _PART.fullmatch(folder.name)
        if parts and folder.name not in comma_list(parts):
            continue
        for chapter in sorted({audio.parent for audio in audio_files(folder)} | _chapters(folder)):
            condition = next((name for name in ("clean", "other") if name in chapter.relative_to(folder).parts), "")
            yield from _chapter(
                reader,
                chapter,
                {
                    "split": SPLIT_NAMES[named[1]] if named else "train",
                    "condition": named[2] if named else condition,
                    "group": genders.get(chapter.parent.name, ""),
                },
                published.get(chapter.parent.name, folder.name) if named else "",
                folder.name,
            )


def _chapter(
    reader: CorpusReader, chapter: Path, words: dict[str, str], published: str, part: str
) -> Iterator[SourceClip]:
    speaker = chapter.parent.name
    transcripts = chapter / f"{speaker}-{chapter.name}.trans.txt"
    if published not in ("", part):
        reader.fault(chapter, f"SPEAKERS.TXT has the speaker {speaker} in {published}, and here is {part}")
    named = []
    for key, text in reader.keyed(transcripts, empty=False).items():
        if audio := reader.named(sound_of(chapter / key, ".flac"), transcripts):
            named.append(audio)
            yield reader.clip(audio, text=text, speaker=speaker, **words)
    yield from reader.unlisted(chapter, named, f"{transcripts.name} has no line for it")


def _chapters(folder: Path) -> set[Path]:
    return {path.parent for path in folder.rglob("*.trans.txt")}


def _speakers(reader: CorpusReader) -> tuple[dict[str, str], dict[str, str]]:
    """Return part and groups of each speaker by SPEAKERS.TXT (``id | sex | part | minutes | name``), if it is there."""
    tops = [reader.source, reader.source.parent, reader.source / "LibriSpeech"]
    path = next((top / "SPEAKERS.TXT" for top in tops if (top / "SPEAKERS.TXT").is_file()), None)
    lines = ((at, line.split("|")) for at, line in reader.lines(path) if not line.startswith(";")) if path else ()
    parts, groups = dict[str, str](), dict[str, str]()
    for at, fields in lines:
        if path and len(fields) >= 5:
            parts[fields[0].strip()] = fields[2].strip()
            groups[fields[0].strip()] = known_groups(reader, path, at, gender=short_gender(fields[1]))
    return parts, groups


def _parts(source: Path) -> list[Path]:
    """Return the folders of LibriSpeech's parts: `source` itself, or those in it or in its folder ``LibriSpeech``."""
    if _PART.fullmatch(source.name) and source.is_dir():
        return [source]
    tops = [top for top in (source, source / "LibriSpeech") if top.is_dir()]
    return sorted(path for top in tops for path in top.iterdir() if path.is_dir() and _PART.fullmatch(path.name))


def _limited(source: Path, subset: str) -> list[Path]:
    """Return the folders of a subset of Libri-Light's fine-tuning data; empty if `source` is not that."""
    top = source if source.name == _FINETUNING else source / _FINETUNING
    if not any((top / name).is_dir() for name in ("1h", "9h")):
        top = source
    folders = [top / name for name in _LIMITED[subset]]
    return [folder for folder in folders if folder.is_dir()] if (top / "1h").is_dir() else []


def _protocol(source: Path, parts: str = "", subset: str = "10h") -> str:
    if _limited(source, subset):
        return f"Libri-Light {subset} (training)"
    taken = [folder.name for folder in _parts(source) if not parts or folder.name in comma_list(parts)]
    return f"LibriSpeech {', '.join(taken)}"


LIBRISPEECH = Importer(
    name="librispeech",
    expects="the folder LibriSpeech, one of its parts (dev-clean …), or librispeech_finetuning of Libri-Light",
    accepts=lambda source: bool(_limited(source, "10h") or _parts(source)),
    read=librispeech_clips,
    options=(
        FormatOption("parts", "parts to take, such as dev-clean,test-clean [default: all]"),
        FormatOption("subset", "of Libri-Light [default: 10h]", tuple(_LIMITED)),
    ),
    protocol=_protocol,
)
