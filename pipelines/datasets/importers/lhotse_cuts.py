"""lhotse cuts: ``*cuts*.jsonl`` or ``.jsonl.gz``, each line a cut with its recording and its supervisions.

Every supervision is a clip: its times are relative to the cut's start, and its channel picks one of a recording with
several. A cut without supervisions is a clip as a whole. Audio outside the manifest's folder is read only below `root`.
A manifest's name gives the split (``cuts_train.jsonl.gz``, ``cuts_dev-clean.jsonl.gz``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from elp_core.types import Split
from pipelines.datasets.delivery import SPLIT_NAMES, Importer, SourceClip
from pipelines.datasets.format_option import FormatOption
from pipelines.datasets.importers.corpus_files import CorpusReader, is_below, is_file, number
from pipelines.datasets.importers.manifest_text import printable
from pipelines.datasets.importers.packed_lines import packed_lines
from pipelines.datasets.importers.row_values import text_value
from pipelines.errors import IntakeError
from pipelines.registry.plain_json import shape_fault

_SUFFIXES = (".jsonl", ".jsonl.gz")
_KINDS = ("MonoCut", "MultiCut", "Cut")


class _Fault(Exception):
    """What is wrong with a line."""


def lhotse_clips(source: Path, root: str = "") -> Iterator[SourceClip]:
    """Yield the clips of all manifests, in the order of their lines."""
    reader = CorpusReader(source, LHOTSE.expects)
    top = Path(root).expanduser() if root else None
    yield from reader.checked(clip for path in _manifests(source) for clip in _clips(reader, path, top))


def _clips(reader: CorpusReader, manifest: Path, root: Path | None) -> Iterator[SourceClip]:
    try:
        for line, text in packed_lines(manifest):
            try:
                yield from _cut(reader, manifest, line, json.loads(text.decode()), root)
            except json.JSONDecodeError as error:
                reader.fault(manifest, f"not JSON ({error.msg} at column {error.colno})", line)
            except UnicodeDecodeError as error:
                reader.fault(manifest, f"not UTF-8 ({error.reason} at byte {error.start:,}); write it again", line)
            except _Fault as error:
                reader.fault(manifest, str(error), line)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
                reader.fault(manifest, f"it is not a cut of lhotse ({shape_fault(error)})", line)
    except IntakeError as error:
        reader.faults.append(printable(str(error).replace(str(manifest), reader.name(manifest), 1)))


def _cut(
    reader: CorpusReader, manifest: Path, line: int, cut: Mapping[str, Any], root: Path | None
) -> Iterator[SourceClip]:
    if cut.get("type", "MonoCut") not in _KINDS:
        raise _Fault(f"a {cut['type']} is made of several recordings; save plain cuts of single ones")
    recording, start, seconds = cut.get("recording"), _seconds(cut["start"]), _seconds(cut["duration"])
    if not recording:
        raise _Fault("it has no recording; save cuts with their recordings, features alone are not enough")
    if recording.get("transforms"):
        raise _Fault("its recording has transforms (speed, volume …); save the changed audio, or cuts without them")
    for part in cut.get("supervisions") or [{"start": 0.0, "duration": seconds, "channel": cut.get("channel", 0)}]:
        channel = _channel(part.get("channel", cut.get("channel", 0)))
        name, place = _source(recording, channel)
        audio = manifest.parent / name if root is None else root / name
        if not is_file(audio) and root is not None:
            audio = manifest.parent / name
        top = reader.source if reader.source.is_dir() else reader.source.parent
        if found := reader.named(audio, manifest, line, None if is_below(audio, top) else root):
            begin = start + _seconds(part["start"], negative=True)
            # a supervision may begin before its cut, or end after it
            end = min(begin + _seconds(part["duration"]), start + seconds)
            if end <= max(begin, start):
                raise _Fault(f"a supervision of it lasts from {begin:g} s to {end:g} s")
            yield reader.clip(
                found,
                text=_word(part, "text"),
                speaker=_word(part, "speaker"),
                split=_split(manifest),
                start=round(max(begin, start), 6),
                seconds=round(end - max(begin, start), 6),
                channel=place,
                declared=_seconds(recording["duration"]),
                language=_word(part, "language"),
            )


def _seconds(value: Any, *, negative: bool = False) -> float:
    found = number(value)
    if found is None:
        raise _Fault(f"{value!r} is not a number of seconds")
    if found < 0 and not negative:
        raise _Fault(f"{value!r} is not a number of seconds, 0 or more")
    return found


def _word(part: Mapping[str, Any], name: str) -> str:
    faults: list[str] = []
    text = text_value(part, (name,), faults)
    if faults:
        raise _Fault(faults[0])
    return text


def _channel(value: Any) -> int:
    channels = value if isinstance(value, list) else [value]
    if len(channels) != 1:
        raise _Fault(f"a supervision has the channels {channels}; expected one, because they are not mixed")
    if isinstance(channels[0], bool) or not isinstance(channels[0], int):
        raise _Fault(f"the channel is {channels[0]!r}, expected a whole number, from 0")
    return channels[0]


def _source(recording: Mapping[str, Any], channel: int) -> tuple[str, int | None]:
    """Return the file that has a channel of a recording, and the channel's place in it if the file has several."""
    for source in recording["sources"]:
        if channel in source["channels"]:
            if source["type"] != "file":
                raise _Fault(f"its audio is a {source['type']}, not a file; nothing is run or fetched: save the audio")
            several = len(source["channels"]) > 1
            return str(source["source"]), source["channels"].index(channel) if several else None
    raise _Fault(f"its recording has no channel {channel}")


def _split(manifest: Path) -> Split | str:
    words = re.split(r"[^a-z]+", manifest.name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")


def _manifests(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.name.endswith(_SUFFIXES) else []
    return sorted(path for path in source.glob("*cuts*") if path.name.endswith(_SUFFIXES) and path.is_file())


def _accepts(source: Path) -> bool:
    """Whether the first line of a manifest is a cut: the name alone would take manifests of other formats."""
    for manifest in _manifests(source)[:1]:
        try:
            cut = json.loads(next(packed_lines(manifest), (0, b""))[1])
        except (IntakeError, ValueError, RecursionError):
            return False
        return isinstance(cut, dict) and (
            str(cut.get("type", "")).endswith("Cut") or {"recording", "start"} <= cut.keys()
        )
    return False


LHOTSE = Importer(
    name="lhotse",
    expects="cuts.jsonl or cuts.jsonl.gz with recordings and supervisions, or a folder with such manifests",
    accepts=_accepts,
    read=lhotse_clips,
    options=(FormatOption("root", "folder of audio outside the manifest's folder [default: none]"),),
)
