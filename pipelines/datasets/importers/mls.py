"""Multilingual LibriSpeech: ``mls_<language>/{train,dev,test}/audio/<speaker>/<book>/*.{flac,opus}``.

Each split has ``transcripts.txt`` (name, tab, text) and ``segments.txt`` (name, link, start and end in the audio book):
end - start is the declared length of a clip. The folder's name gives the language. The limited
sets of 1 and 10 hours are named by ``handles.txt``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader, number, sound_of

_SPLITS = ("train", "dev", "test")
_FOLDER = re.compile(r"mls_(dutch|english|french|german|italian|polish|portuguese|spanish)")
_LIMITED = {"1h": ("1hr/*/handles.txt",), "10h": ("1hr/*/handles.txt", "9hr/handles.txt")}


def mls_clips(source: Path, subset: str = "") -> Iterator[SourceClip]:
    """Yield the clips of the splits that are there, in the order of their transcripts."""
    reader = CorpusReader(source, MLS.expects)
    yield from reader.checked(_clips(reader, subset))


def _clips(reader: CorpusReader, subset: str) -> Iterator[SourceClip]:
    named = _FOLDER.match(reader.source.resolve().name)
    for name in _SPLITS:
        folder = reader.source / name
        if not folder.is_dir():
            continue
        handles = _handles(reader, folder, subset) if subset and name == "train" else None
        lengths, transcripts = _lengths(reader, folder / "segments.txt"), folder / "transcripts.txt"
        for key, text in reader.keyed(transcripts, "\t", empty=False).items():
            speaker, book, *_ = [*key.split("_"), ""]
            if handles is None or key in handles:
                audio = reader.named(sound_of(folder / "audio" / speaker / book / key, ".flac"), transcripts)
                if audio:
                    words = {"text": text, "speaker": speaker, "language": named[1] if named else ""}
                    yield reader.clip(audio, **words, split=SPLIT_NAMES[name], declared=lengths.get(key))


def _handles(reader: CorpusReader, folder: Path, subset: str) -> set[str]:
    top = folder / "limited_supervision"
    files = [path for pattern in _LIMITED[subset] for path in sorted(top.glob(pattern))]
    if not files:
        reader.fault(top, f"there is no handles.txt of the subset {subset}")
    return {line.strip() for path in files for _, line in reader.lines(path)}


def _lengths(reader: CorpusReader, path: Path) -> dict[str, float]:
    found = {}
    for row, line in reader.lines(path):
        fields = line.split()
        start, end = (number(fields[-2]), number(fields[-1])) if len(fields) > 2 else (None, None)
        if start is None or end is None or end <= start:
            reader.fault(path, "expected name, link, start and end", row)
        else:
            found[fields[0]] = end - start
    return found


def _protocol(source: Path, subset: str = "") -> str:
    splits = [name for name in _SPLITS if (source / name).is_dir()]
    return f"MLS {', '.join(splits)}{f' (training: {subset})' if subset else ''}"


MLS = Importer(
    name="mls",
    expects="the folder mls_<language> with train/, dev/ or test/, each with transcripts.txt, segments.txt and audio/",
    accepts=lambda source: any(
        (source / name / "audio").is_dir() and (source / name / "transcripts.txt").is_file() for name in _SPLITS
    ),
    read=mls_clips,
    options=(FormatOption("subset", "limited training set [default: all]", tuple(_LIMITED)),),
    protocol=_protocol,
)
