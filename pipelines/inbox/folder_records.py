"""The files of the records in a folder inbox. A link or a pipe in the place of one is not followed or opened.

The names are hidden, so no delivery can have them. Earlier releases wrote `claim.json` and `taken.json`: these are read
if the hidden record is not there and the delivery itself does not have the name.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipelines.inbox.inbox_records import Claim, R, read_record_json

CLAIM_FILE, TAKEN_FILE = ".claim.json", ".taken.json"
EARLIER_NAMES = {CLAIM_FILE: "claim.json", TAKEN_FILE: "taken.json"}
"""Names of the records that earlier releases wrote."""


def record_file(place: Path, name: str) -> Path:
    """Return the file of a record in the folder of a claimed or taken delivery, which may not be there."""
    # a folder that has a hidden record is of this release: what has an earlier name there is a delivery
    earlier = not any((place / hidden).exists() for hidden in EARLIER_NAMES)
    return place / (EARLIER_NAMES[name] if earlier else name)


def read_record_file(kind: type[R], file: Path) -> R | None:
    """Return the record in a file; None if it is damaged or not there."""
    with contextlib.suppress(FileNotFoundError):
        return read_record_json(kind, file.read_bytes()) if _is_plain(file) else None
    return None


def claim_file(claim: Claim) -> Path:
    """Return the file whose age is that of the claim; the folder if its record is missing."""
    file = record_file(Path(claim.place), CLAIM_FILE)
    return file if _is_plain(file) else Path(claim.place)


def _is_plain(path: Path) -> bool:
    """Return whether a path is a file itself: no link to one, and no pipe, at which a reader waits."""
    return path.is_file() and not path.is_symlink()
