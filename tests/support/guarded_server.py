"""The server that people run: MLflow with our store, our artifacts and our app, on SQLite or on PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.registry.signing.key_folder import ensure_keys
from tests.support.mlflow_server import free_port, running, server_command, server_environment

JOINED = "elp+"


@dataclass(frozen=True)
class GuardedServer:
    """A running server, and the files that an offline attacker would change."""

    uri: str
    folder: Path
    database: str
    """SQLAlchemy URI."""
    pid: int

    @property
    def keys(self) -> Path:
        """Return the key folder, with the private keys."""
        return self.folder / "keys"

    @property
    def anchor(self) -> Path:
        """Return the file of the ledger checkpoint."""
        return self.folder / "ledger-head.json"

    @property
    def artifacts(self) -> Path:
        """Return the root of all uploads."""
        return self.folder / "artifacts"

    @property
    def log(self) -> str:
        """Return what the server has printed."""
        return (self.folder / "server.log").read_text(errors="replace")


@contextlib.contextmanager
def guarded_server(
    folder: Path, database: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[GuardedServer]:
    """Run the guarded command line with everything it keeps in `folder`; the whole process group ends with the block.

    Args:
        folder: For the keys, the checkpoint, the artifacts, the log, and an SQLite database.
        database: SQLAlchemy URI; None takes an SQLite file in the folder.
        environment: On top of the usual.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = database or f"sqlite:///{folder / 'mlflow.db'}"
    ensure_keys(folder / "keys")
    port = free_port()
    command = guarded_command(folder, database, port)
    with running(command, port, folder, guarded_environment(folder, environment)) as process:
        assert process.pid
        yield GuardedServer(f"http://127.0.0.1:{port}", folder, database, process.pid)


def guarded_command(folder: Path, database: str, port: int) -> list[str]:
    """The arguments of `mlflow`, as documented."""
    return [
        *(*server_command(port), "--app-name", "elp"),
        *("--backend-store-uri", database, "--registry-store-uri", JOINED + database, "--workers", "1"),
        *("--artifacts-destination", f"{JOINED}file://{folder / 'artifacts'}", "--serve-artifacts"),
    ]


def guarded_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What any server of the tests runs in, with keys and anchor in `folder`."""
    return {
        **server_environment(folder),
        "ELP_KEYS": str(folder / "keys"),
        # the address in the ledger is the one that connected, whatever a header says
        "FORWARDED_ALLOW_IPS": "",
        "ELP_LEDGER_CHECKPOINT": str(folder / "ledger-head.json"),
        **(more or {}),
    }
