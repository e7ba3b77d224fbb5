"""Which `elp serve` is recorded in the workspace of this server, and whether its process runs."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import psutil

RECORD = Path(".elp") / "serving" / "server.json"
"""Below the workspace; `elp serve` writes it (`pipelines.serving.server_record`)."""
_TOLERANCE = 2.0
"""Seconds between two readings of the time at which a process was created."""


@dataclass(frozen=True)
class ServingHost:
    """A recorded server of requests."""

    address: str
    sites: tuple[str, ...]
    """Empty for all sites."""
    runs: bool
    """Whether its process runs on this machine; it may still have no slot to serve."""


def recorded_serving(root: Path | None) -> ServingHost | None:
    """Return the server of requests of a workspace; None if none is recorded or the record cannot be read."""
    if root is None:
        return None
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        process = record["process"]
        sites = tuple(str(site) for site in record.get("sites", ()))
        return ServingHost(str(process["address"]), sites, _runs(int(process["pid"]), float(process["created"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _runs(pid: int, created: float) -> bool:
    with contextlib.suppress(psutil.Error):
        # another process may have got the same id
        return abs(psutil.Process(pid).create_time() - created) < _TOLERANCE
    return False
