"""Label Studio's JSON export: regions on a recording, each with a text area and perhaps a label, the speaker."""

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.listing import ENCODING
from pipelines.datasets.importers.manifest_text import read_text
from pipelines.datasets.importers.timed_segments import (
    RECORDINGS,
    TimedSegment,
    annotated_clips,
    annotation_files,
    time_of,
)
from pipelines.errors import IntakeError
from pipelines.registry.plain_json import shape_fault

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts eight digits before the name of an uploaded file."""


def label_studio_clips(source: Path, encoding: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every export; a task names its recording, whose file is expected next to the export."""
    files = [path for path in annotation_files(source, ".json") if _is_export(path)]
    return annotated_clips(source, files, functools.partial(_segments, encoding=encoding), LABEL_STUDIO.expects)


def _segments(path: Path, encoding: str) -> Iterator[tuple[str, Sequence[TimedSegment]]]:
    try:
        tasks = json.loads(read_text(path, encoding))
    except json.JSONDecodeError as error:
        raise IntakeError(f"it is not JSON ({error.msg} in line {error.lineno})") from error
    except (ValueError, RecursionError) as error:
        raise IntakeError("it is not JSON (a number is too long, or it is nested too deeply)") from error
    for count, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
        try:
            place = f"task {task.get('id', count)}"
            yield _recording(task, path.parent, place), _regions(task, place)
        except (AttributeError, KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
            raise IntakeError(
                f"task {count} is not as Label Studio exports it ({shape_fault(error)}); export as JSON"
            ) from error


def _recording(task: Mapping[str, Any], folder: Path, place: str) -> str:
    values = [value for value in task["data"].values() if isinstance(value, str)]
    named = [name for value in values if Path(name := _file_name(value)).suffix.lower() in RECORDINGS]
    if len(named) != 1:
        raise IntakeError(f"{place} names {len(named)} recordings in its data, expected one")
    uploaded = _UPLOADED.fullmatch(named[0])
    return uploaded[1] if uploaded and not (folder / named[0]).exists() else named[0]


def _file_name(address: str) -> str:
    """Return the file name in an address such as ``/data/local-files/?d=calls/a.wav`` or ``s3://bucket/a.wav``."""
    parts = urlsplit(address)
    path = parse_qs(parts.query).get("d", [parts.path])[0]
    return unquote(path).replace("\\", "/").rpartition("/")[2]


def _regions(task: Mapping[str, Any], place: str) -> list[TimedSegment]:
    made = [one for one in task["annotations"] if not one.get("was_cancelled")]
    chosen = [one for one in made if one.get("ground_truth")] or made
    if len(chosen) > 1:
        raise IntakeError(f"{place} has {len(chosen)} annotations; export one, or mark one as the ground truth")
    regions: dict[str, dict[str, Any]] = {}
    for result in chosen[0]["result"] if chosen else []:
        value = result["value"]
        if "start" not in value:
            continue  # about the whole recording
        region = regions.setdefault(str(result["id"]), {"text": [], "labels": [], **value})
        region["text"] = value.get("text", region["text"])
        region["labels"] = value.get("labels", region["labels"])
    several = any(region.get("channel") for region in regions.values())
    return sorted((_segment(region, several, place) for region in regions.values()), key=lambda one: one.start)


def _segment(region: Mapping[str, Any], several: bool, place: str) -> TimedSegment:
    texts = region["text"] if isinstance(region["text"], list) else [region["text"]]
    channel, labels = region.get("channel", 0), region["labels"]
    words = [*texts, *labels, "" if isinstance(channel, int) and not isinstance(channel, bool) else channel]
    if strange := [word for word in words if word is not None and not isinstance(word, str)]:
        raise IntakeError(f"{place}: a region has {strange[0]!r} as a text, a label or a channel; export it again")
    start, end = (time_of(str(region[name]), f"the {name}", place) for name in ("start", "end"))
    if len(labels) > 1:
        raise IntakeError(f"{place}: the region at {start:.3f} s has {len(labels)} labels, expected one, the speaker")
    # the channel is 0 in every region if the channels were not separated
    text = " ".join((one or "").strip() for one in texts)
    side = channel if several else None
    return TimedSegment(start, end, text, (labels[0] or "") if labels else "", side, f"{place} at {start:.3f} s")


def _is_export(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"[", b"{") and b'"annotations"' in head and b'"data"' in head


def _accepts(source: Path) -> bool:
    # a folder with a manifest is what its manifest says
    if source.is_dir() and any(source.glob("*manifest*.json*")):
        return False
    return any(_is_export(path) for path in annotation_files(source, ".json"))


LABEL_STUDIO = Importer(
    name="label-studio",
    expects="a JSON export of Label Studio (not JSON-MIN) next to the recordings that its tasks name",
    accepts=_accepts,
    read=label_studio_clips,
    options=(ENCODING,),
)
