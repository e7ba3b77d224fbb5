"""What this machine saw in an inbox at earlier looks: since when a listing is the same.

Times are those of the machine's monotonic clock, which no correction of the wall clock moves. It begins again at a
reboot: a look that seems to be in the future was before the last one, at least as long ago as the machine runs now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Look:
    """The listing of one entry, and since when it is the same."""

    fingerprint: str
    since: float
    """Seconds of the monotonic clock."""
    digests: str = ""
    """What the check of its manifest found: ``right``, or what is wrong; empty if it was not checked."""

    def age(self, now: float) -> Seconds:
        """Return how long the listing is known to be the same, at least."""
        return now - self.since if now >= self.since else now


@dataclass(frozen=True)
class Looks:
    """All that is known of a slot's inbox from earlier looks."""

    address: str = ""
    mount: str = ""
    """The mount point below which a folder was found; empty for a bucket."""
    entries: Mapping[str, Look] = field(default_factory=dict)

    def after(self, names: Mapping[str, str], now: float) -> Looks:
        """Return the looks after one that found entries with these fingerprints, by name."""
        kept = {
            name: known if (known := self.entries.get(name)) and known.fingerprint == fingerprint
            # a first look
            else Look(fingerprint, now)
            for name, fingerprint in names.items()
        }  # fmt: skip
        return Looks(self.address, self.mount, kept)


def monotonic() -> float:
    """Return the clock of the looks, one for all processes of the machine."""
    return time.monotonic()


def looks_file(workspace: Workspace, slot: Slot) -> Path:
    """Return the file of a slot's looks."""
    return workspace.state / "inbox" / f"{slot.site}.{slot.task}.json"


def read_looks(workspace: Workspace, slot: Slot, address: str) -> Looks:
    """Return what was seen at this address; nothing if the file is missing or damaged, or the address was another."""
    try:
        looks = from_dict(Looks, json.loads(looks_file(workspace, slot).read_text(encoding="utf-8")), "looks")
    except (OSError, ValueError, TypeError, AttributeError, ConfigError):
        # at worst a delivery is looked at twice more
        return Looks(address)
    return looks if looks.address == address else Looks(address)


def write_looks(workspace: Workspace, slot: Slot, looks: Looks) -> None:
    """Write the looks, unless they are the same as before."""
    text = json.dumps(asdict(looks)) + "\n"
    path = looks_file(workspace, slot)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
