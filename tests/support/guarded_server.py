"""The server that people run: MLflow with our store, our artifacts and our app, on SQLite or on PostgreSQL."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.registry.signing.key_folder import ensure_keys
from tests.support.mlflow_server import free_port, running, server_command, server_environment
from tests.support.new_databases import new_mlflow_database
from tests.support.object_store import OWNER, ObjectStore

JOINED = "elp+"


@dataclass(frozen=True)
class Bucket:
    """A prefix in a bucket of a running object store, for the artifacts of one server."""

    store: ObjectStore
    name: str
    prefix: str

    @property
    def address(self) -> str:
        """Return ``s3://bucket/prefix``."""
        return f"s3://{self.name}/{self.prefix}"


@dataclass(frozen=True)
class GuardedServer:
    """A running server, and the files that an offline attacker would change."""

    uri: str
    folder: Path
    database: str
    """SQLAlchemy URI."""
    pid: int
    bucket: Bucket | None = None
    """Where the artifacts are; None means the folder `artifacts`."""

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
    def destination(self) -> str:
        """Return the address of the artifacts, without the guard."""
        return self.bucket.address if self.bucket else f"file://{self.artifacts}"

    def stored(self, folder: str) -> dict[str, bytes]:
        """Return the files of a folder among the artifacts by their path, read past the server."""
        if self.bucket:
            found = self.bucket.store.objects(self.bucket.name, f"{self.bucket.prefix}/{folder}/")
            return {key.removeprefix(f"{self.bucket.prefix}/"): content for key, content in found.items()}
        paths = sorted(path for path in (self.artifacts / folder).rglob("*") if path.is_file())
        return {path.relative_to(self.artifacts).as_posix(): path.read_bytes() for path in paths}

    def digests(self, folders: Sequence[str]) -> dict[str, str]:
        """Return what changes with the bytes of each file in some folders, by path."""
        if self.bucket:
            # one request: the ETag of an object that was put in one part is its MD5
            found = self.bucket.store.etags(self.bucket.name, self.bucket.prefix + "/")
            stored = {key.removeprefix(f"{self.bucket.prefix}/"): etag for key, etag in found.items()}
            return {path: etag for path, etag in stored.items() if path.startswith(tuple(f"{f}/" for f in folders))}
        files = {path: content for folder in folders for path, content in self.stored(folder).items()}
        return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}

    def replace(self, path: str, content: bytes) -> None:
        """Write a file among the artifacts past the server, as somebody with the store itself does."""
        if self.bucket:
            key = f"{self.bucket.prefix}/{path}"
            self.bucket.store.client().put_object(Bucket=self.bucket.name, Key=key, Body=content)
        else:
            (self.artifacts / path).write_bytes(content)

    @property
    def log(self) -> str:
        """Return what the server has printed."""
        return (self.folder / "server.log").read_text(errors="replace")


@contextlib.contextmanager
def guarded_server(
    folder: Path,
    database: str | None = None,
    environment: Mapping[str, str] | None = None,
    bucket: Bucket | None = None,
) -> Iterator[GuardedServer]:
    """Run the guarded command line with everything it keeps in `folder`; the whole process group ends with the block.

    Args:
        folder: For the keys, the checkpoint, the artifacts, the log, and an SQLite database.
        database: SQLAlchemy URI; None takes an SQLite file in the folder.
        environment: On top of the usual.
        bucket: For the artifacts, instead of a folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if database is None:
        new_mlflow_database(folder / "mlflow.db")
        database = f"sqlite:///{folder / 'mlflow.db'}"
    ensure_keys(folder / "keys")
    port = free_port()
    if bucket:
        environment = {
            **OWNER.artifacts_environment(),
            "MLFLOW_S3_ENDPOINT_URL": bucket.store.endpoint,
            **(environment or {}),
        }
    command = guarded_command(folder, database, port, bucket)
    with running(command, port, folder, guarded_environment(folder, environment)) as process:
        assert process.pid
        yield GuardedServer(f"http://127.0.0.1:{port}", folder, database, process.pid, bucket)


def guarded_command(folder: Path, database: str, port: int, bucket: Bucket | None = None) -> list[str]:
    """The arguments of `mlflow`, as documented."""
    artifacts = bucket.address if bucket else f"file://{folder / 'artifacts'}"
    return [
        *(*server_command(port), "--app-name", "elp"),
        *("--backend-store-uri", database, "--registry-store-uri", JOINED + database, "--workers", "1"),
        *("--artifacts-destination", JOINED + artifacts, "--serve-artifacts"),
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
