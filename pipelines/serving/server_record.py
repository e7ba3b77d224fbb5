"""The records of every `elp serve` that runs in a workspace, which only their owner reads.

Each server has a file of its own in `.elp/serving/servers`. The newest one is in `.elp/serving/server.json`, too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.local.processes import Process, alive, own_process
from pipelines.local.workspace import BOX_SETTINGS, SETTINGS_FILE

RECORD = Path("serving") / "server.json"
"""Of the newest server, below the state of a workspace."""
_RECORDS = Path("serving") / "servers"


@dataclass(frozen=True)
class ServerRecord:
    """Where a server answers, and what it was started with."""

    process: Process
    key: str
    """An API key of this server, for programs of this user."""
    source: str
    """Address of the registry, or folder of the box."""
    settings: str
    """`settings_digest` of the workspace at the server's start."""
    certificate: str = ""
    """Path of its certificate; empty without TLS."""
    sites: tuple[str, ...] = ()
    """The sites that it serves; empty for all."""

    @property
    def address(self) -> str:
        """Return the address, such as ``http://127.0.0.1:8400``."""
        return self.process.address


@contextlib.contextmanager
def recorded_server(
    state: Path, address: str, *, key: str, source: str, settings: str, certificate: str, sites: Sequence[str] = ()
) -> Iterator[None]:
    """Name this process as a server of a workspace, and as the newest one, until the block ends."""
    made = ServerRecord(own_process("serve", address), key, source, settings, certificate, tuple(sites))
    for path in (state / _RECORDS).glob("*.json"):
        if _running(path) is None:
            # it was killed
            path.unlink(missing_ok=True)
    own, newest = state / _RECORDS / f"{made.process.pid}.json", state / RECORD
    for path in (own, newest):
        _write(path, made)
    try:
        yield
    finally:
        own.unlink(missing_ok=True)
        if _running(newest) == made:
            # an earlier one may run on
            others = [one for one in read_servers(state) if one != made]
            if others:
                _write(newest, others[0])
            else:
                newest.unlink(missing_ok=True)


def read_servers(state: Path) -> list[ServerRecord]:
    """Return the records of the servers that run in a workspace, the newest first."""
    # a server of an earlier release has the one record only
    paths = (*(state / _RECORDS).glob("*.json"), state / RECORD)
    found = {one for path in paths if (one := _running(path)) is not None}
    return sorted(found, key=lambda one: one.process.created, reverse=True)


def _write(path: Path, record: ServerRecord) -> None:
    write_whole(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n", mode=0o600)


def _running(path: Path) -> ServerRecord | None:
    """Return the record of a server that runs; None if there is none, or if it has ended."""
    try:
        found = from_dict(ServerRecord, json.loads(path.read_text(encoding="utf-8")))
        return found if alive(found.process) else None
    except (OSError, ValueError, ConfigError, OverflowError, RecursionError, psutil.Error):
        # a missing, damaged or older record means that the adapter is loaded here
        return None


def settings_digest(root: Path) -> str:
    """Return the SHA-256 of `elp.yaml`, and of a box's settings.

    A server that was started with other settings may answer otherwise.
    """
    found = [path.read_bytes() for name in (SETTINGS_FILE, BOX_SETTINGS) if (path := root / name).is_file()]
    return hashlib.sha256(b"\0".join(found)).hexdigest()
