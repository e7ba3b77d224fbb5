"""Kaldi and ESPnet data folders: ``wav.scp`` with ``text``, ``utt2spk``, ``segments`` and the like.

`source` is one data folder, or has several, whose names give the splits (train, dev, test). Audio outside the source is
read only below ``root``. Commands (``sox … |``) and archives (``wav.ark:123``) in wav.scp are refused: nothing is run.
The group of a speaker is the gender in ``spk2gender``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from elp_core.types import Seconds
from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import (
    CorpusReader,
    is_below,
    is_file,
    known_groups,
    number,
    short_gender,
)
from pipelines.datasets.importers.listing import ENCODING
from pipelines.datasets.importers.manifest_text import printable
from pipelines.number_text import count

_CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}
"""Names of channels in ``reco2file_and_channel``."""


def kaldi_clips(source: Path, root: str = "", encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every data folder: one for each segment, or for each recording if there are no segments."""
    reader = CorpusReader(source, KALDI.expects, encoding)
    top = Path(root).expanduser() if root else None
    yield from reader.checked(clip for folder in _folders(source) for clip in _clips(reader, folder, top))


def _clips(reader: CorpusReader, folder: Path, root: Path | None) -> Iterator[SourceClip]:
    recordings = _recordings(reader, folder, root)
    texts, speakers, genders = (_optional(reader, folder / name) for name in ("text", "utt2spk", "spk2gender"))
    groups = {
        who: known_groups(reader, folder / "spk2gender", line, gender=short_gender(said))
        for line, (who, said) in enumerate(genders.items(), 1)
    }
    channels, segments, before = _channels(reader, folder, recordings), folder / "segments", len(reader.faults)
    cuts = _segments(reader, segments, recordings) if segments.is_file() else None
    known, place = (recordings, folder / "wav.scp") if cuts is None else (cuts, segments)
    # a line that is malformed is no fault twice
    if len(reader.faults) == before and (strange := [key for key in {**texts, **speakers} if key not in known]):
        reader.fault(place, f"it lacks {count(len(strange), 'utterance')}, the first is {printable(strange[0])}")
    lengths = _optional(reader, folder / ("reco2dur" if (folder / "reco2dur").is_file() else "utt2dur"))
    # an empty file of segments has no clip, and is not one that is missing
    wanted = {name: (name, 0.0, None) for name in recordings} if cuts is None else cuts
    for key, (recording, start, seconds) in wanted.items():
        if audio := recordings[recording]:
            yield reader.clip(
                audio,
                text=texts.get(key, ""),
                speaker=speakers.get(key, ""),
                group=groups.get(speakers.get(key, ""), ""),
                split=SPLIT_NAMES.get(folder.name.lower(), ""),
                start=start,
                seconds=seconds,
                channel=channels.get(recording),
                declared=number(lengths.get(recording, "")),
            )


def _recordings(reader: CorpusReader, folder: Path, root: Path | None) -> dict[str, Path | None]:
    """Return the audio file of each recording; None for one with a fault."""
    scp, found = folder / "wav.scp", dict[str, Path | None]()
    for line, (key, value) in enumerate(reader.keyed(scp, empty=False).items(), 1):
        found[key] = None
        if value.endswith("|") or value.startswith("|"):
            reader.fault(scp, f"the recording {printable(key)} is a command ({printable(value[:80])}); commands are "
                "not run: write its output to a file, and name that", line)  # fmt: skip
        elif ".ark:" in value:
            reader.fault(
                scp, f"the recording {printable(key)} is in an archive ({printable(value)}); copy it out", line
            )
        else:
            places = [folder / value, reader.source / value, *([root / value] if root else [])]
            audio = next((path for path in places if is_file(path)), places[-1])
            found[key] = reader.named(audio, scp, line, None if is_below(audio, reader.source) else root)
    return found


def _channels(reader: CorpusReader, folder: Path, recordings: Mapping[str, Path | None]) -> dict[str, int]:
    """Return the channel of the recordings that share their file with another one."""
    path, found = folder / "reco2file_and_channel", dict[str, int]()
    shared = Counter(recordings.values())
    for line, (key, value) in enumerate(_optional(reader, path).items(), 1):
        name = value.split()[-1] if value.split() else ""
        # a file of its own has one channel, whatever side of a call it is
        if shared[recordings.get(key)] > 1:
            if name in _CHANNELS:
                found[key] = _CHANNELS[name]
            else:
                reader.fault(path, f"the channel is {printable(name)!r}, expected A, B, 1 or 2", line)
    return found


def _segments(
    reader: CorpusReader, path: Path, recordings: Mapping[str, Path | None]
) -> dict[str, tuple[str, Seconds, Seconds | None]]:
    """Return recording, start and length of each segment; an end of -1 is that of the file."""
    found: dict[str, tuple[str, Seconds, Seconds | None]] = {}
    for line, (key, value) in enumerate(reader.keyed(path).items(), 1):
        fields = value.split()
        numbers = [number(text) for text in fields[1:3]]
        if len(fields) < 3 or None in numbers:
            reader.fault(path, "expected a name, a recording, and start and end in seconds", line)
            continue
        start, end = (value for value in numbers if value is not None)
        if fields[0] not in recordings:
            reader.fault(path, f"the recording {printable(fields[0])} is not in wav.scp", line)
        elif start < 0 or (end <= start and end != -1):
            reader.fault(path, f"the segment ends at {end} s and starts at {start} s", line)
        else:
            found[key] = (fields[0], start, None if end == -1 else end - start)
    return found


def _optional(reader: CorpusReader, path: Path) -> dict[str, str]:
    return reader.keyed(path) if path.is_file() else {}


def _folders(source: Path) -> list[Path]:
    if (source / "wav.scp").is_file():
        return [source]
    return sorted(path.parent for top in (source, source / "data") for path in top.glob("*/wav.scp"))


KALDI = Importer(
    name="kaldi",
    expects="a data folder with wav.scp (text, utt2spk, segments …), or a folder with data folders train, dev, test",
    accepts=lambda source: source.is_dir() and bool(_folders(source)),
    read=kaldi_clips,
    options=(
        FormatOption("root", "folder of audio outside the source that wav.scp may name [default: none]"),
        ENCODING,
    ),
)
