"""Label Studio's JSON export: regions on a recording, each with a text area and perhaps a label, the speaker.

Tasks without regions are about whole recordings: see `label_studio_tasks`.
"""

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.datasets.delivery import Importer, SourceClip
from pipelines.datasets.importers.label_studio_tasks import (
    Task,
    answer_controls,
    chosen_annotations,
    has_regions,
    recording_address,
    unlabelled_tasks,
    uploaded_name,
    whole_clips,
)
from pipelines.datasets.importers.listing import ENCODING, ROOT
from pipelines.datasets.importers.manifest_text import read_text
from pipelines.datasets.importers.named_files import NamedFiles, declared_root
from pipelines.datasets.importers.timed_segments import (
    TimedSegment,
    annotated_clips,
    annotation_files,
    time_of,
)
from pipelines.errors import IntakeError
from pipelines.registry.plain_json import shape_fault

_Timed = list[tuple[str, Sequence[TimedSegment]]] | IntakeError
_MOST_BYTES = 2**30
"""Of all exports of a source together: their answers are held."""


def label_studio_clips(source: Path, encoding: str = "", root: str = "") -> Iterator[SourceClip]:
    """Yield the clips of every export: the regions of recordings next to it, then the recordings as a whole.

    A whole recording may be in a folder below the export, or below `root`, whose end its address has. The exports are
    parsed one after the other, each once.
    """
    clips, faults, timed = list[SourceClip](), list[str](), dict[Path, _Timed]()
    for path in _exports(source):
        here, broken, regions = _read_export(source, path, encoding, root)
        clips += here
        faults += broken
        if regions is not None:
            timed[path] = regions
    if faults:
        raise IntakeError.of_faults(source, faults)
    if timed or not clips:
        yield from annotated_clips(source, [*timed], functools.partial(_segments, timed), LABEL_STUDIO.expects)
    yield from clips


def left_out_tasks(source: Path, encoding: str = "", root: str = "") -> list[str]:
    """Return a sentence on each export with tasks that were skipped, or that nobody has answered."""
    return [sentence for path in _exports(source) for sentence in _left_out(source, path, encoding)]


def _left_out(source: Path, path: Path, encoding: str) -> list[str]:
    tasks = _named_tasks(source, path, encoding)
    return unlabelled_tasks(tasks, answer_controls(tasks))


def _exports(source: Path) -> list[Path]:
    files = [path for path in annotation_files(source, ".json") if _is_export(path)]
    size = sum(path.stat().st_size for path in files)
    if size > _MOST_BYTES:
        raise IntakeError(
            f"the exports in {source} have {size / 2**20:,.0f} MiB together, expected {_MOST_BYTES // 2**20:,} at "
            "most; deliver them one by one, or export fewer tasks at once"
        )
    return files


def _read_export(
    source: Path, path: Path, encoding: str, root: str
) -> tuple[list[SourceClip], list[str], _Timed | None]:
    """Return the clips of whole recordings, what is wrong with their tasks, and the regions; None if there is none."""
    tasks, name = _named_tasks(source, path, encoding), _name(source, path)
    whole = [(place, task) for place, task in tasks if not has_regions(task)]
    faults = list[str]()
    with _as_exported(name):
        files = NamedFiles(path.parent, declared_root(root))
        clips = [*whole_clips(whole, answer_controls(tasks), files, faults)]
    regions = _timed(tasks, path.parent) if len(whole) < len(tasks) else None
    return clips, [f"{name}: {fault}" for fault in faults], regions


def _named_tasks(source: Path, path: Path, encoding: str) -> list[tuple[str, Task]]:
    """Return the tasks of an export with their places; an IntakeError names the export."""
    try:
        return _tasks(path, encoding)
    except IntakeError as error:
        fault = f"{_name(source, path)}: {str(error).replace(f'{path} ', 'it ', 1)}"
        raise IntakeError.of_faults(source, [fault]) from error


def _name(source: Path, path: Path) -> str:
    return path.relative_to(source if source.is_dir() else source.parent).as_posix()


def _tasks(path: Path, encoding: str) -> list[tuple[str, Task]]:
    try:
        read = json.loads(read_text(path, encoding))
    except json.JSONDecodeError as error:
        raise IntakeError(f"it is not JSON ({error.msg} in line {error.lineno})") from error
    except (ValueError, RecursionError) as error:
        raise IntakeError("it is not JSON (a number is too long, or it is nested too deeply)") from error
    tasks = read if isinstance(read, list) else [read]
    found = []
    for number, task in enumerate(tasks, 1):
        with _as_exported(f"task {number}"):
            place = f"task {task.get('id', number)}"
            # what every later step reads
            has_regions(task), dict(task["data"])
            found.append((place, task))
    return found


@contextlib.contextmanager
def _as_exported(what: str) -> Iterator[None]:
    """Refuse what has another shape than Label Studio writes, with a sentence that names it."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise IntakeError(f"{what} is not as Label Studio exports it ({shape_fault(error)}); export as JSON") from error


def _timed(tasks: Sequence[tuple[str, Task]], folder: Path) -> _Timed:
    """Return the recordings with regions, and these, or what is wrong with them: all files are to be named."""
    found: list[tuple[str, Sequence[TimedSegment]]] = []
    try:
        for place, task in tasks:
            if has_regions(task):
                with _as_exported(place):
                    found.append((_recording(task, folder, place), _regions(task, place)))
    except IntakeError as error:
        return error
    return found


def _segments(timed: Mapping[Path, _Timed], path: Path) -> list[tuple[str, Sequence[TimedSegment]]]:
    found = timed[path]
    if isinstance(found, IntakeError):
        raise found
    return found


def _recording(task: Task, folder: Path, place: str) -> str:
    name = recording_address(task, place).rpartition("/")[2]
    uploaded = uploaded_name(name)
    return uploaded if uploaded and not (folder / name).exists() else name


def _regions(task: Task, place: str) -> list[TimedSegment]:
    chosen = chosen_annotations(task)
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
    options=(ENCODING, ROOT),
    remarks=left_out_tasks,
)
