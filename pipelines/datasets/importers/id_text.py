"""Trees with one transcript file of lines ``id:text`` next to audio named by the id, as JSUT, JVS and Asterisk have.

- JSUT: ``<subset>/transcript_utf8.txt`` with ``<subset>/wav/<id>.wav``; one speaker.
- JVS: ``jvs<number>/<subset>/transcripts_utf8.txt`` with ``<subset>/wav24kHz16bit/<id>.wav``.
- Prompt sets of Asterisk: ``core-sounds-<language>.txt`` with ``<id>.wav`` below it; lines with ``;`` are remarks.

Readings after the text (``text,カタカナ``) are left out if every line of a file has one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader, is_file, sound_of
from pipelines.datasets.importers.listing import ENCODING

_PATTERNS = ("transcript_utf8.txt", "transcripts_utf8.txt", "*_transcript_utf8.txt", "core-sounds-*.txt")
_SHOWN = 5
_AUDIO_FOLDERS = ("wav", "wav24kHz16bit", "wav48kHz16bit", ".")
_JVS = re.compile(r"jvs\d{3}")
_JSUT = re.compile(
    r"(?:BASIC5000|UT-PARAPHRASE512|ONOMATOPEE300|COUNTERSUFFIX26|LOANWORD128|VOICEACTRESS100|TRAVEL1000|PRECEDENT130"
    r"|REPEAT500)_.*"
)
_READING = re.compile(r"(.+),[ァ-ヶー・、。！？…\s]+")


def id_text_clips(source: Path, speaker: str = "", missing: str = "refuse", encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every transcript file, in the order of its lines."""
    reader = CorpusReader(source, ID_TEXT.expects, encoding)
    yield from reader.checked(_clips(reader, speaker, skip=missing == "skip"))


def _clips(reader: CorpusReader, speaker: str, *, skip: bool) -> Iterator[SourceClip]:
    for listing in _listings(reader.source):
        entries = {key: text for key, text in _entries(reader, listing).items() if text}
        absent: list[str] = []
        readings = [_READING.fullmatch(text) for text in entries.values()]
        for (key, text), reading in zip(entries.items(), readings, strict=True):
            places = [sound_of(listing.parent / folder / key) for folder in _audio_folders(listing)]
            audio = next((path for path in places if is_file(path)), None)
            if audio is None:
                absent.append(reader.name(places[0]))
            elif found := reader.named(audio, listing):
                words = reading[1] if reading and all(readings) else text
                yield reader.clip(found, text=words, speaker=speaker or _speaker(listing, key))
        if absent and not skip:
            named = ", ".join(absent[:_SHOWN]) + (f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else "")
            way = "to leave such lines out, add --option missing=skip"
            what = f"the file {named} does not exist" if len(absent) == 1 else f"the files {named} do not exist"
            reader.fault(listing, f"{what}; {way}")


def _audio_folders(listing: Path) -> tuple[str, ...]:
    return (".",) if listing.name.startswith("core-sounds-") else _AUDIO_FOLDERS


def _entries(reader: CorpusReader, listing: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line, text in reader.lines(listing):
        key, colon, words = text.partition(":")
        if text.lstrip().startswith(";"):
            continue
        if not colon or not key.strip():
            reader.fault(listing, "expected a line id:text", line)
        elif found.setdefault(key.strip(), words.strip()) != words.strip():
            reader.fault(listing, f"{key.strip()} has another text here than in an earlier line", line)
    return found


def _speaker(listing: Path, key: str) -> str:
    """Return JVS's folder of the speaker, JSUT's only speaker, or the folder of a prompt set, which is one voice's."""
    folder = next((part for part in listing.parts if _JVS.fullmatch(part)), "")
    if listing.name.startswith("core-sounds-"):
        return listing.parent.name
    return folder or ("jsut" if _JSUT.fullmatch(key) else "")


def _listings(source: Path) -> list[Path]:
    """Return the transcript files of `source`, of its folders and of theirs."""
    if source.is_file():
        return [source] if any(source.match(pattern) for pattern in _PATTERNS) else []
    places = ("", "*/", "*/*/")
    return sorted({path for pattern in _PATTERNS for place in places for path in source.glob(place + pattern)})


ID_TEXT = Importer(
    name="id-text",
    expects="JSUT, JVS or a prompt set: transcript_utf8.txt or core-sounds-<language>.txt (lines id:text) and audio",
    accepts=lambda source: bool(_listings(source)),
    read=id_text_clips,
    options=(
        FormatOption("speaker", "name of the only speaker [default: of JSUT and JVS it is known]"),
        FormatOption("missing", "lines without a recording [default: refuse]", ("refuse", "skip")),
        ENCODING,
    ),
)
