"""A file of corrections: its rows name known clips and say what their words, speaker, label, split, group are."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elp_core.groups import GROUP
from elp_core.types import Split
from pipelines.datasets.clip_words import words_digest
from pipelines.datasets.delivery import SPLIT_NAMES, ClipFault
from pipelines.datasets.importers.listing import SPEAKER_KEYS, TEXT_KEYS
from pipelines.datasets.importers.manifest_rows import TABLE_SUFFIXES, key_name, manifest_rows
from pipelines.datasets.importers.manifest_text import printable, read_text, undecodable
from pipelines.datasets.importers.row_values import group_value, text_value
from pipelines.datasets.shard_columns import read_columns
from pipelines.errors import IntakeError
from pipelines.number_text import count
from pipelines.registry.names import normal_name

ID_KEYS = ("id", "clip", "clip_id")
PATH_KEYS = ("audio_filepath", "file_name", "path", "file")
WORDS = ("text", "speaker", "label", "split", GROUP)
"""What a correction can change."""
_KEYS: dict[str, Sequence[str]] = {
    "text": TEXT_KEYS,
    "speaker": SPEAKER_KEYS,
    "label": ("label",),
    "split": ("split",),
}
_ID = re.compile(r"[0-9a-f]{8,64}")
_SEPARATOR = re.compile(r"[,;\t|]")
_JSON_KEY = re.compile(r'"([^"\\\n]*)"\s*:')
_SHOWN = 4

Normalise = Callable[[str], str | ClipFault]
"""A function that returns a transcript in the slot's normal form, or why it is none."""


@dataclass(frozen=True)
class StoredClip:
    """What a slot holds of a clip, without its sound. Names are in their normal form."""

    id: str
    path: str
    condition: str
    text: str
    speaker: str
    label: str
    split: Split
    teacher: str = ""
    """As `Clip.teacher`."""
    group: str = ""

    @property
    def digest(self) -> str:
        """Return the `words_digest` of what is stored."""
        return words_digest(self.id, self.text, self.speaker, self.label, self.split, self.group)


@dataclass(frozen=True)
class Correction:
    """One clip before and after."""

    line: int
    """Line of the file."""
    before: StoredClip
    after: StoredClip

    @property
    def changes(self) -> dict[str, tuple[str, str]]:
        """Return the old and the new value of each word that changes, and of the mark of a pseudo-label."""
        names = (*WORDS, "teacher")
        pairs = ((name, getattr(self.before, name), getattr(self.after, name)) for name in names)
        return {name: (old, new) for name, old, new in pairs if old != new}


@dataclass(frozen=True)
class Corrections:
    """What a file changes."""

    found: tuple[Correction, ...]
    """By line; rows that change nothing are left out."""
    rows: int
    quarantined: int
    """Rows that name a file in quarantine: it is no clip of the slot yet."""


def stored_clips(shards: Iterable[Path]) -> dict[str, StoredClip]:
    """Return the clips in shards by id; the audio is not read."""
    columns = ("id", "condition", *WORDS, "teacher")
    found = {}
    for shard in shards:
        table = read_columns(shard, [*columns, "audio.path"])
        for row in table.to_pylist():
            names = {name: normal_name(row[name]) for name in ("path", "condition", "speaker", "label")}
            words = {name: row[name] for name in ("id", "text", "teacher")}
            found[row["id"]] = StoredClip(split=row["split"], **words, **names)
    return found


def read_corrections(
    file: Path,
    clips: Mapping[str, StoredClip],
    normalise: Normalise,
    *,
    encoding: str = "",
    withdrawn: Collection[str] = (),
    quarantined: Collection[str] = (),
    closed_set: bool = False,
) -> Corrections:
    """Return what the rows of a file change of the `clips` of a slot; an IntakeError lists all faults with their lines.

    A row names a clip by its id (or the first 8 digits and more) or by its path as it was delivered, and has the new
    values; what it leaves out stays. `quarantined` are paths in quarantine, `withdrawn` the ids of dropped clips. A
    clip that gets another speaker goes into that speaker's split, unless the row names one or the set is closed. A row
    with the text or the label of a clip with a pseudo-label removes its mark, whether the words change or not.
    """
    text = read_text(file, encoding)
    keys = _keys(file, text)
    key = next((key for key in (*ID_KEYS, *PATH_KEYS) if key in keys), "")
    if not key:
        raise IntakeError(f"{file} names no clip; expected {', '.join((*ID_KEYS[:1], *PATH_KEYS[:2]))} in each row")
    index, faults, skipped, rows = _Index(file.parent, clips, withdrawn), list[str](), 0, 0
    changes: dict[str, tuple[int, dict[str, str]]] = {}
    named = set[str]()
    for line, row in manifest_rows(file, text, key):
        rows += 1
        here: list[str] = []
        if isinstance(row, str):
            faults.append(f"line {line}: {row}")
            continue
        clip = index.find(row, quarantined, here)
        values = _values(row, normalise, here)
        named |= {name for name in WORDS if name in values}
        if clip and not here:
            first = changes.setdefault(clip.id, (line, values))
            if first[1] != values:
                here.append(f"it names the clip of line {first[0]} with other values; keep one")
            if _after(clip, values).teacher and values.get("split", "train") != "train":
                here.append("its words are a pseudo-label, so it stays in the training split; add its right words")
        skipped += clip is None and not here
        faults += [f"line {line}: {fault}" for fault in here]
    if not faults and not named:
        faults = [f"no row has one of {', '.join(WORDS)}"] if rows else ["it has no row"]
    if faults:
        raise IntakeError.of_faults(file, faults)
    found = [Correction(line, clips[clip], _after(clips[clip], values)) for clip, (line, values) in changes.items()]
    found = found if closed_set else _with_splits(found, clips, changes)
    return Corrections(tuple(one for one in sorted(found, key=lambda one: one.line) if one.changes), rows, skipped)


def _keys(file: Path, text: str) -> set[str]:
    """Return the names of a table's columns, or the keys of JSON. Words of the transcripts are none of them."""
    if file.suffix.lower() not in TABLE_SUFFIXES:
        return {key_name(key) for key in _JSON_KEY.findall(text)}
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith("sep="))
    return {key_name(name.strip().strip('"')) for name in _SEPARATOR.split(next(lines, ""))}


class _Index:
    """Finds the clip that a row names."""

    def __init__(self, folder: Path, clips: Mapping[str, StoredClip], withdrawn: Collection[str]) -> None:
        self._folder, self._clips, self._withdrawn = folder.resolve(), clips, withdrawn
        self._by_path: dict[str, list[StoredClip]] = defaultdict(list)
        for clip in clips.values():
            self._by_path[clip.path].append(clip)

    def find(self, row: Mapping[str, Any], quarantined: Collection[str], faults: list[str]) -> StoredClip | None:
        """Return the clip, or None with a fault; None without a fault is a file in quarantine."""
        if name := text_value(row, ID_KEYS, faults).strip().lower():
            return self._by_id(name, faults)
        name = normal_name(printable(text_value(row, PATH_KEYS, faults)))
        if not name:
            if not faults:
                faults.append(f"it names no clip; expected {', '.join((*ID_KEYS[:1], *PATH_KEYS[:2]))}")
            return None
        path = self._plain(name)
        found = self._by_path.get(path, [])
        condition = normal_name(text_value(row, ("condition",), []))
        if len(found) > 1 and condition:
            found = [clip for clip in found if clip.condition == condition]
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(f"{clip.id[:12]} ({clip.text or clip.label or clip.speaker})" for clip in found[:_SHOWN])
            faults.append(f"{path} names {count(len(found), 'clip')} ({shown} …); name one by its id")
        elif path not in quarantined:
            dropped = (
                f", and {count(len(self._withdrawn), 'dropped clip')} cannot be corrected" if self._withdrawn else ""
            )
            faults.append(f"no clip of the slot was delivered as {path}{dropped}; name it as in its delivery")
        return None

    def _by_id(self, name: str, faults: list[str]) -> StoredClip | None:
        if not _ID.fullmatch(name):
            faults.append(f"the id {printable(name)!r} is not 8 to 64 hexadecimal digits")
            return None
        # a whole id is found at once, a shortened one by its beginning
        ids = [name] if name in self._clips else [one for one in self._clips if one.startswith(name)]
        if len(ids) == 1:
            return self._clips[ids[0]]
        if any(one.startswith(name) for one in self._withdrawn):
            faults.append(f"the clip {name[:12]} was dropped; a dropped clip is not corrected")
        else:
            faults.append(f"the id {name[:12]} is that of {count(len(ids), 'clip')} of the slot, expected 1")
        return None

    def _plain(self, name: str) -> str:
        """Return a path as deliveries name it: from the folder of the manifest, with forward slashes."""
        path = posixpath.normpath(name.replace("\\", "/"))
        if posixpath.isabs(path) and Path(path).is_relative_to(self._folder):
            path = Path(path).relative_to(self._folder).as_posix()
        return path


def _values(row: Mapping[str, Any], normalise: Normalise, faults: list[str]) -> dict[str, str]:
    """Return the new values that a row has, in their normal form."""
    given = {name: text_value(row, keys, faults) for name, keys in _KEYS.items()}
    faults += [f"{name} has bytes that are not UTF-8; correct them" for name in given if undecodable(given[name])]
    given[GROUP] = group_value(row, faults)
    values = {name: normal_name(value) for name, value in given.items() if name != "text" and normal_name(value)}
    if split := values.get("split"):
        if split.lower() not in SPLIT_NAMES:
            faults.append(f"unknown split {split!r}, expected one of {', '.join(sorted(SPLIT_NAMES))}")
        values["split"] = SPLIT_NAMES.get(split.lower(), "")
    if given["text"] and not faults:
        words = normalise(given["text"])
        if isinstance(words, ClipFault):
            faults.append(words.detail)
        else:
            values["text"] = words
    return values


def _after(clip: StoredClip, values: Mapping[str, Any]) -> StoredClip:
    # a person who gives the words answers for them, also if they are those of the pseudo-label
    teacher = "" if {"text", "label"} & values.keys() else clip.teacher
    return replace(clip, **values, teacher=teacher)


def _with_splits(
    found: list[Correction], clips: Mapping[str, StoredClip], changes: Mapping[str, tuple[int, dict[str, str]]]
) -> list[Correction]:
    """Give clips with another speaker the split of that speaker's other clips, if it has one."""
    after = {one.after.id: one.after for one in found}
    homes: dict[str, set[Split]] = defaultdict(set)
    for clip in clips.values():
        now = after.get(clip.id, clip)
        if now.speaker and (now.speaker == clip.speaker or "split" in changes.get(clip.id, (0, {}))[1]):
            homes[now.speaker].add(now.split)
    moved = []
    for one in found:
        home = homes.get(one.after.speaker, set())
        follows = one.after.speaker != one.before.speaker and "split" not in changes[one.before.id][1]
        follows = follows and not one.after.teacher
        split = next(iter(home)) if follows and len(home) == 1 else one.after.split
        moved.append(replace(one, after=replace(one.after, split=split)))
    return moved


def with_earlier_words(earlier: Mapping[str, Sequence[str]], found: Iterable[Correction]) -> dict[str, tuple[str, ...]]:
    """Return the digests of the words that corrected clips had before, by clip id."""
    digests = {clip: tuple(known) for clip, known in earlier.items()}
    for one in found:
        known = digests.get(one.before.id, ())
        digests[one.before.id] = tuple(dict.fromkeys([*known, one.before.digest]))
    return digests
