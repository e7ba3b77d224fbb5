"""One clip through the versions of its slot: where it was, what was corrected, which trainings used it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.clip_sound import ClipPlace, find_clip
from pipelines.datasets.clip_table import ShownClip, read_clip
from pipelines.datasets.dataset_version import DatasetVersion, GoldenRef
from pipelines.datasets.local_files import LocalFiles

_WORDS = ("text", "speaker", "label", "condition", "split", "group")
"""What a new version can change of a clip."""
_LEARNING = ("train", "validation")


@dataclass(frozen=True)
class ClipChange:
    """A word of a clip that a version changed."""

    version: int
    what: str
    before: str
    after: str


@dataclass(frozen=True)
class ClipHistory:
    """A clip in all versions of its slot."""

    clip: ShownClip
    """As the newest version has it that holds it."""
    place: ClipPlace
    spans: tuple[tuple[int, int], ...]
    """First and last number of each run of versions that hold it, oldest first."""
    changes: tuple[ClipChange, ...]
    """Oldest first."""
    learned: tuple[str, ...]
    """Tags of the versions whose trainings use it: it is in a learning split, and not in their golden set."""
    golden: tuple[str, ...]
    """Tags of the golden sets that hold it."""
    unknown: tuple[str, ...]
    """Tags of the versions and golden sets whose files are not all on this machine: it may be there, too."""


def clip_history(
    clip: str,
    versions: Sequence[DatasetVersion],
    pinned: Sequence[GoldenRef],
    shards_of: Callable[[DatasetVersion], LocalFiles],
    golden_of: Callable[[GoldenRef], LocalFiles],
) -> ClipHistory | None:
    """Return the history of a clip over the `versions` and golden sets of a slot, oldest first.

    None if no file on this machine holds it.
    """
    places, gone = _places(clip, ((one.tag, shards_of(one)) for one in versions))
    held, gone_too = _places(clip, ((one.tag, golden_of(one)) for one in pinned))
    # most versions share their shards
    read: dict[ClipPlace, ShownClip] = {place: read_clip(*place) for place in {*places.values(), *held.values()}}
    found = {one.version: read[places[one.tag]] for one in versions if one.tag in places}
    last = places.get(versions[-1].tag) if versions else None
    newest = last or next(reversed([*held.values(), *places.values()]), None)
    if newest is None:
        return None
    learned = [
        one.tag for one in versions if one.version in found and _learns(found[one.version], one.golden, held, gone_too)
    ]
    return ClipHistory(
        read[newest],
        newest,
        _spans(found),
        tuple(_changes(found)),
        tuple(learned),
        tuple(one.tag for one in pinned if one.tag in held),
        (*gone, *gone_too),
    )


def _learns(clip: ShownClip, golden: str, held: Mapping[str, ClipPlace], unknown: Iterable[str]) -> bool:
    return clip.split in _LEARNING and golden not in held and golden not in unknown


def _places(clip: str, folders: Iterable[tuple[str, LocalFiles]]) -> tuple[dict[str, ClipPlace], list[str]]:
    """Return where the clip is, by tag, and the tags whose files are not all here and do not show it."""
    found, unknown, known = dict[str, ClipPlace](), list[str](), dict[Path, ClipPlace | None]()
    for tag, files in folders:
        for path in files.paths:
            if path not in known:
                known[path] = find_clip([path], clip)
        place = next((known[path] for path in files.paths if known[path]), None)
        if place:
            found[tag] = place
        elif files.missing:
            unknown.append(tag)
    return found, unknown


def _spans(found: Mapping[int, ShownClip]) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    for version in sorted(found):
        if spans and spans[-1][1] == version - 1:
            spans[-1] = (spans[-1][0], version)
        else:
            spans.append((version, version))
    return tuple(spans)


def _changes(found: Mapping[int, ShownClip]) -> Iterable[ClipChange]:
    before: ShownClip | None = None
    for version, clip in sorted(found.items()):
        for name in _WORDS if before is not None else ():
            old, new = getattr(before, name), getattr(clip, name)
            if old != new:
                yield ClipChange(version, name, old, new)
        before = clip
