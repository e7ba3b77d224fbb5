"""One entry of an inbox: a file, or a folder with everything below it. Names that programs use for half files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

_TEMPORARY_ENDINGS = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", ".writing")
_TEMPORARY_BEGINNINGS = (".~", "~$")
_LEFT_BY_SYSTEMS = {"thumbs.db", ".ds_store", "desktop.ini"}
MARKER = ".done"
"""Ending of the empty file next to a delivery that says that it is complete."""


@dataclass(frozen=True)
class ListedFile:
    """A file as a listing shows it."""

    name: str
    """Relative to the entry, with forward slashes; empty if the entry is a file itself."""
    size: int
    stamp: str
    """When it was changed, or what its content is, as the store says: two listings are compared by it."""
    changed: float = 0.0
    """Seconds since the epoch by the store's clock, to compare a marker with what it marks."""


@dataclass(frozen=True)
class Entry:
    """What may be a delivery."""

    name: str
    files: tuple[ListedFile, ...]
    """By name, without what systems leave behind, such as ``.DS_Store``."""
    unfinished: str = ""
    """Why it is still being written; empty if nothing says so."""
    fault: str = ""
    """Why it can never be a delivery as it is, such as a link."""
    marked: float | None = None
    """When its marker was written, by the store's clock; None without a marker."""

    @property
    def fingerprint(self) -> str:
        """Return 32 hex digits of the name and the listing: an entry with another one has changed."""
        rows = [self.name, self.fault, *([one.name, one.size, one.stamp] for one in self.files)]
        # JSON escapes what is no Unicode in a file's name, so every name has a form
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]

    @property
    def size(self) -> int:
        """Return its bytes."""
        return sum(one.size for one in self.files)


def is_delivery_name(name: str) -> bool:
    """Return whether an entry of this name can be a delivery: not hidden, temporary, a marker or left by a system."""
    return not (name.startswith(".") or is_temporary(name) or name.lower().endswith(MARKER) or is_left_over(name))


def is_file_name(name: str) -> bool:
    """Return whether a file can have this name, so that a path with it stays in its folder.

    >>> is_file_name("monday"), is_file_name(".."), is_file_name("monday/../..")
    (True, False, False)
    """
    try:
        return name not in ("", ".", "..") and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:
        return False


def is_temporary(name: str) -> bool:
    """Return whether programs use such a name for a file that they are still writing.

    >>> is_temporary("clip.wav.part"), is_temporary("~$list.xlsx"), is_temporary("clip.wav")
    (True, True, False)
    """
    return name.lower().endswith(_TEMPORARY_ENDINGS) or name.startswith(_TEMPORARY_BEGINNINGS)


def is_left_over(name: str) -> bool:
    """Return whether a system leaves files of this name in folders that are looked at."""
    return name.lower() in _LEFT_BY_SYSTEMS or name.startswith("._")


def shown_name(name: str) -> str:
    """Return a name on one line, for people; what cannot be printed becomes an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
