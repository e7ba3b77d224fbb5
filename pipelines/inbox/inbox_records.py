"""The records that an inbox keeps next to its deliveries, so that every machine reads the same ones.

A sender can write and forge them. Names and fingerprints become parts of paths, so they are checked when they are read.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TypeVar

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.inbox.inbox_entry import is_delivery_name, is_file_name

LEASE_SECONDS = 100.0
"""A claim that was not renewed for so long, by the store's clock, belongs to a machine that is gone."""
RENEW_SECONDS = 20.0
_FINGERPRINT = re.compile(r"([0-9a-f]{32})?")
"""Of a delivery; empty in the claim of a delivery whose record was damaged."""

R = TypeVar("R", "Claim", "Refusal", "Taken")


@dataclass(frozen=True)
class Claim:
    """A delivery that a machine takes in at this moment."""

    name: str
    fingerprint: str
    owner: str
    """Id of the state folder whose lock guards the claim."""
    host: str
    at: str
    """UTC, ISO 8601, by the clock of the host: for people."""
    place: str = ""
    """Where the inbox keeps the claim."""


@dataclass(frozen=True)
class Refusal:
    """A delivery that was left in place, because it cannot be read or failed the checks as a whole."""

    name: str
    fingerprint: str
    reason: str
    at: str
    host: str
    reported: bool = False
    """Whether the alert was sent."""


@dataclass(frozen=True)
class Taken:
    """A delivery that was taken in."""

    name: str
    fingerprint: str
    version: str
    """Tag of the dataset version that holds it."""
    at: str
    host: str
    files: int = 0
    size: int = 0
    """Bytes."""


def record_json(record: Claim | Refusal | Taken) -> str:
    """Return the text of a record."""
    return json.dumps(asdict(record), indent=1) + "\n"


def read_record_json(kind: type[R], text: str | bytes) -> R | None:
    """Return the record of a text; None if it is damaged, as after a full disk: the delivery itself decides then.

    One whose fingerprint, or claimed name, would lead to another folder is damaged, too.
    """
    try:
        found = from_dict(kind, json.loads(text), kind.__name__.lower())
    except (ValueError, TypeError, AttributeError, ConfigError, RecursionError):
        return None
    claimed = found.name if isinstance(found, Claim) else ""
    if claimed and not (is_delivery_name(claimed) and is_file_name(claimed)):
        return None
    return found if _FINGERPRINT.fullmatch(found.fingerprint) else None
