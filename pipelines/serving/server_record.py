"""The record of the `elp serve` that runs in a workspace: `.elp/serving/server.json`, which only its owner reads."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from elp_core.files import write_whole
from pipelines.local.box_home import BOX_SETTINGS
from pipelines.local.processes import Process, alive, own_process
from pipelines.local.workspace import SETTINGS_FILE

RECORD = Path("serving") / "server.json"
"""Below the state of a workspace."""


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
    """Name this process as the server of a workspace until the block ends. A later server replaces the record."""
    made = ServerRecord(own_process("serve", address), key, source, settings, certificate, tuple(sites))
    path = state / RECORD
    write_whole(path, json.dumps(dataclasses.asdict(made), indent=2) + "\n", mode=0o600)
    try:
        yield
    finally:
        if read_server(state) == made:
            path.unlink(missing_ok=True)


def read_server(state: Path) -> ServerRecord | None:
    """Return the record of a server that runs; None if there is none, or if it has ended."""
    try:
        raw = json.loads((state / RECORD).read_text(encoding="utf-8"))
        found = ServerRecord(**{**raw, "process": Process(**raw["process"]), "sites": tuple(raw.get("sites", ()))})
    except (OSError, ValueError, KeyError, TypeError):
        # a missing, damaged or older record means that the adapter is loaded here
        return None
    with contextlib.suppress(psutil.Error):
        return found if alive(found.process) else None
    return None


def settings_digest(root: Path) -> str:
    """Return the SHA-256 of `elp.yaml`, and of a box's settings.

    A server that was started with other settings may answer otherwise.
    """
    found = [path.read_bytes() for name in (SETTINGS_FILE, BOX_SETTINGS) if (path := root / name).is_file()]
    return hashlib.sha256(b"\0".join(found)).hexdigest()
