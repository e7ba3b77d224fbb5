"""What is an outage and what is not, from the errors that the libraries really raise."""

from __future__ import annotations

import contextlib
import errno
import socket
import sqlite3
import ssl
import urllib.error
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore import exceptions

from elp_core.errors import CheckpointError
from pipelines.datasets.dvc import track
from pipelines.errors import DataRemoteAway, DiskFull, RemoteAway, ServiceError, VersioningError
from pipelines.local.http_client import free_port
from pipelines.local.workspace import Workspace
from pipelines.outages import awaited, disk_is_full, is_away
from pipelines.registry.client.connection import check_health
from tests.support.full_disk import full_disk, resize


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with full_disk(tmp_path / "disk", 64) as folder:
        yield folder


def test_a_server_that_refuses_connections_is_away() -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(requests.ConnectionError) as found:
        requests.get(url)
    assert is_away(found.value)
    with pytest.raises(RemoteAway, match="no MLflow server answers"):
        check_health(url)


STATUSES = [(500, True), (503, True), (401, False), (403, False), (404, False)]


@pytest.mark.parametrize(("status", "away"), STATUSES)
def test_a_fault_of_the_server_is_an_outage_and_a_refusal_is_not(status: int, away: bool) -> None:
    # by hand: real ones keep their sockets for the garbage collector; tests/faults has the real servers
    answer: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert is_away(exceptions.ClientError(answer, "ListBuckets")) is away
    response = requests.Response()
    response.status_code = status
    assert is_away(requests.HTTPError("bad", response=response)) is away
    assert is_away(urllib.error.HTTPError("http://x", status, "bad", Message(), None)) is away


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="x"), True),
        (exceptions.ReadTimeoutError(endpoint_url="x"), True),
        (exceptions.ConnectionClosedError(endpoint_url="x"), True),
        (exceptions.SSLError(endpoint_url="x", error="self-signed"), False),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (exceptions.NoCredentialsError(), False),
    ],
)
def test_an_object_store_that_does_not_answer(error: Exception, away: bool) -> None:
    assert is_away(error) is away


def test_a_server_that_hangs_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(requests.Timeout) as found:
        requests.get(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
    assert is_away(found.value)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), False),
        (ssl.SSLCertVerificationError("self-signed"), False),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 22)"), True),
        (PermissionError(errno.EACCES, "forbidden"), False),
        (OSError(errno.EBUSY, "slow down"), True),
    ],
)
def test_other_errors(error: Exception, away: bool) -> None:
    assert is_away(error) is away


def test_a_full_disk_is_found_behind_the_errors_that_wrap_it() -> None:
    def write() -> None:
        try:
            with Path("/dev/full").open("w") as full:
                full.write("x")
        except OSError as error:
            raise CheckpointError("the checkpoint cannot be written") from error

    with pytest.raises(CheckpointError, match="cannot be written") as found:
        write()
    assert disk_is_full(found.value)
    assert awaited(found.value) == "the disk is full; free some space"


def test_a_full_disk_that_safetensors_reports(small_disk: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with pytest.raises(SafetensorError) as found:
        save_file({"a": torch.zeros(1_000_000)}, small_disk / "a")
    assert awaited(found.value) == "the disk is full; free some space"


def _sqlite_fault(folder: Path) -> sqlite3.OperationalError:
    """Open a database as DVC's cache does, and return what SQLite says."""
    script = "pragma journal_mode = wal; create table cache (v blob); insert into cache values (zeroblob(100000))"
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as db:
        with pytest.raises(sqlite3.OperationalError) as found:
            db.executescript(script)
        return found.value


@pytest.mark.parametrize(("kibibytes", "sign"), [(4, "is full"), (24, "disk I/O error"), (64, "is full")])
def test_a_full_disk_that_sqlite_reports(tmp_path: Path, kibibytes: int, sign: str) -> None:
    with full_disk(tmp_path / "disk", kibibytes) as folder:
        fault = _sqlite_fault(folder)
        assert sign in str(fault)
        full = disk_is_full(fault, folder / "not" / "yet")
        assert full is not None
        assert awaited(full).startswith("the disk is full")
        resize(folder, 10_000)
        # a broken disk has room
        assert (disk_is_full(fault, folder) is None) is (sign == "disk I/O error")


@pytest.mark.integration
@pytest.mark.parametrize("kibibytes", [8, 24, 100])
def test_dvc_on_a_full_disk(workspace: Workspace, kibibytes: int) -> None:
    folder = Path("data/plant-a/asr/shards")
    (workspace.root / folder).mkdir(parents=True)
    (workspace.root / folder / "a.parquet").write_bytes(b"a" * 2**16)
    with full_disk(workspace.state / "dvc", kibibytes), pytest.raises(OSError, match="full") as found:
        track(workspace.root, [folder])
    assert awaited(found.value).startswith("the disk is full")
    track(workspace.root, [folder])


def test_a_run_waits_for_what_is_named_and_for_nothing_else() -> None:
    for error in (RemoteAway("the store is away"), DiskFull("full"), DataRemoteAway("the remote is away")):
        assert awaited(error) == str(error)
    assert isinstance(DataRemoteAway("x"), VersioningError)
    for other in (ServiceError("it needs a login"), VersioningError("no such version"), FileNotFoundError("x")):
        assert awaited(other) == ""
