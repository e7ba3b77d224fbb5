"""Whether a delivery is complete: by a marker, by a manifest of digests, or by the same listing at two looks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

from pipelines.inbox.inbox_entry import MARKER, Entry, shown_name
from pipelines.inbox.inbox_looks import Look
from pipelines.local.inbox_settings import InboxSettings
from pipelines.number_text import count
from pipelines.registry.names import normal_name

MANIFESTS = ("SHA256SUMS", "sha256sums.txt", "checksums.sha256", "manifest-sha256.txt")
"""Names of a list of digests at the top of a folder: of `sha256sum`, and of BagIt."""
RIGHT = "right"
_ABSENT = "not there yet: "
_LINE = re.compile(r"\\?(?P<digest>[0-9a-fA-F]{64}) [ *]?(?P<name>.+)")
_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\"}
_LONGEST = 64 * 2**20
"""Bytes of a list of digests: a million lines."""

OpenFile = Callable[[str], AbstractContextManager[BinaryIO]]
"""Open a file of the entry by its name in it."""


@dataclass(frozen=True)
class Readiness:
    """Whether a delivery can be taken in now, and why not."""

    state: Literal["complete", "incomplete", "faulty"]
    reason: str = ""
    wait: float = 0.0
    """Seconds after which another look may find it complete or faulty; 0 if waiting alone is not enough."""


def readiness(
    entry: Entry, look: Look, settings: InboxSettings, open_file: OpenFile, now: float
) -> tuple[Readiness, Look]:
    """Return whether an entry is complete, and its look with the result of a check of digests."""
    if entry.fault:
        return Readiness("faulty", entry.fault), look
    if entry.unfinished:
        return Readiness("incomplete", entry.unfinished), look
    if not entry.files:
        return Readiness("incomplete", "it holds no file yet"), look
    left = settings.stable - look.age(now)
    late = _marked_too_early(entry)
    if entry.marked is not None and not late:
        return Readiness("complete"), look
    manifest = next((one for name in MANIFESTS for one in entry.files if one.name == name), None)
    if manifest:
        # a read that failed says nothing about the next one, and an earlier release may have found less
        if not look.digests or look.digests.startswith(_ABSENT):
            look = replace(look, digests=check_digests(entry, manifest.name, open_file))
        if look.digests == RIGHT:
            return Readiness("complete"), look
        if look.digests.startswith(_ABSENT):
            # what is missing may still come
            return Readiness("incomplete", look.digests), look
        # a file that differs and no longer changes is wrong
        return Readiness("incomplete" if left > 0 else "faulty", look.digests, max(left, 0.0)), look
    if settings.complete == "marker":
        return Readiness("incomplete", late or f"it waits for its marker {shown_name(entry.name)}{MARKER}"), look
    if left > 0:
        return Readiness("incomplete", f"its listing has not been the same for {settings.stable:g} s yet", left), look
    return Readiness("complete"), look


def check_digests(entry: Entry, manifest: str, open_file: OpenFile) -> str:
    """Return `RIGHT` if every file that a list of digests names is there with its digest; else what is wrong."""
    exact = {one.name: one.name for one in entry.files}
    # macOS lists names in another Unicode form than other systems write
    present = {normal_name(name): name for name in exact} | exact
    try:
        with open_file(manifest) as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            return f"{manifest} is longer than {_LONGEST // 2**20} MiB"
        listed = dict(_lines(text.decode("utf-8-sig")))
        if not listed:
            return f"{_ABSENT}{manifest} is empty"
        found = {name: present.get(name, present.get(normal_name(name), "")) for name in listed}
        if absent := sorted(name for name, file in found.items() if not file):
            named = f"{shown_name(absent[0])} of {manifest}"
            return f"{_ABSENT}{named}" + (f" and {count(len(absent) - 1, 'more file')}" if absent[1:] else "")
        for name, digest in listed.items():
            with open_file(found[name]) as file:
                if _sha256(file) != digest:
                    return f"{shown_name(name)} differs from its digest in {manifest}"
    except UnicodeDecodeError:
        return f"{manifest} is not UTF-8"
    except ValueError as error:
        return f"{manifest}: {error}"
    except OSError as error:
        # it may be replaced at this moment
        return f"{_ABSENT}a file cannot be read ({error.strerror or error})"
    return RIGHT


def _sha256(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while block := file.read(2**20):
        found.update(block)
    return found.hexdigest()


def _lines(text: str) -> Iterator[tuple[str, str]]:
    # only where a line ends: a name may hold other characters that end one for Python
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.rstrip("\r"))
        if not found:
            raise ValueError(f"line {number} is no digest and name, as sha256sum writes them")
        yield _listed_name(found["name"], escaped=line.startswith("\\")), found["digest"].lower()


def _listed_name(name: str, *, escaped: bool) -> str:
    """Return the name of a line: `sha256sum` escapes a name with a line break, others write Windows' separators."""
    if escaped:
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), name).removeprefix("./")
    return name.removeprefix("./").replace("\\", "/")


def _marked_too_early(entry: Entry) -> str:
    """Return a sentence if files were changed after the marker: it marks what was there before."""
    newest = max(entry.files, key=lambda one: one.changed)
    if entry.marked is None or entry.marked >= newest.changed:
        return ""
    which = f"{shown_name(entry.name)}{'/' if newest.name else ''}{shown_name(newest.name)}"
    return f"the marker {shown_name(entry.name)}{MARKER} is older than {which}: write it last"
