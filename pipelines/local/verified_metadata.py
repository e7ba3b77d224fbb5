"""What a box has verified: the newest root, the moment of the newest timestamp, and the metadata of the last pull."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

from elp_core.files import write_whole
from pipelines.local.state_file import read_back
from pipelines.registry.signing.canonical_json import moment, parse_json

ROOT_FILE = Path("trust") / "root.json"
SEEN = "seen.json"
METADATA = "tuf"
"""Folder of the signed metadata of the last pull."""


def newest_root(box: Path) -> bytes | None:
    """Return the newest root that the box has verified, or the first one that a person gave; None without any."""
    path = box / ROOT_FILE
    return path.read_bytes() if path.exists() else None


def keep_first_root(box: Path, root: bytes) -> None:
    """Keep what a person gave as the first root, if the box knows no root yet."""
    if newest_root(box) is None:
        keep_root(box, root)


def keep_root(box: Path, root: bytes) -> None:
    """Keep a root that was verified."""
    write_whole(box / ROOT_FILE, root, durable=True)


def seen_timestamp(box: Path) -> tuple[int, list[str]]:
    """Return version and keys of the newest timestamp that the box has verified; 0 and no key before the first.

    The version is the Unix time at which it was signed. It counts for these keys only: others begin again. Raises
    StateDamaged if the file cannot be used.
    """
    path = box / SEEN
    with contextlib.suppress(FileNotFoundError), read_back(path, "repair it with: elp pull"):
        values = parse_json(path.read_bytes(), "it")
        newest, keys = values["newest"], values["keys"]
        if type(newest) is not int or not isinstance(keys, list):
            raise ValueError(f"newest is {newest!r} and keys is {keys!r}, expected a number and a list")
        # a number that is no moment raises, too
        datetime.fromtimestamp(newest, UTC)
        return newest, [str(key) for key in keys]
    return 0, []


def note_timestamp(box: Path, newest: int, keys: list[str]) -> None:
    """Remember the newest timestamp."""
    write_whole(box / SEEN, json.dumps({"newest": newest, "keys": keys}) + "\n", durable=True)


def metadata_until(box: Path) -> datetime | None:
    """Return when the first of the signed metadata of the last pull expires; None before the first pull.

    Raises StateDamaged if a file of them cannot be used.
    """
    found = []
    for path in (box / METADATA).glob("*.json"):
        # a pull may replace the link to the root at this moment
        with contextlib.suppress(FileNotFoundError), read_back(path, "repair it with: elp pull"):
            found.append(moment(parse_json(path.read_bytes(), "it")["signed"]["expires"], "expires"))
    return min(found, default=None)


def newest_seen(box: Path) -> datetime:
    """Return the newest moment that the box knows of: no clock that is older is right."""
    return datetime.fromtimestamp(seen_timestamp(box)[0], UTC)
