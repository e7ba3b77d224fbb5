"""An object store that dies or hangs during an upload or a push: one error in bounded time, and nothing half."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.datasets.dvc import dvc_remote, push, track
from pipelines.errors import DataRemoteAway, RemoteAway
from pipelines.local.initialise import init_workspace
from pipelines.local.profiles import Profile
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import answering, connect
from pipelines.registry.client.model_registry import list_versions
from pipelines.registry.client.server_api import ledger_entries
from pipelines.registry.slot import Slot
from tests.support.guarded_server import Bucket, GuardedServer, guarded_server
from tests.support.object_store import OWNER, ObjectStore, write_secrets
from tests.support.postgres import postgres_server
from tests.support.rest import Rest
from tests.support.versions_by_hand import API, ARTIFACTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST = 120.0
"""Seconds until the error, on a busy machine."""
FOLDER = Path("data/plant-a/asr/shards")


@pytest.fixture(scope="module")
def server(fragile: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """A server whose artifacts are in that store."""
    with guarded_server(tmp_path_factory.mktemp("s3-server"), bucket=Bucket(fragile, "speech", "mlflow")) as running:
        yield running


def _break(store: ObjectStore, number: int) -> None:
    if number == signal.SIGKILL:
        store.kill()
    else:
        store.signal(number)


def _mend(store: ObjectStore, number: int) -> None:
    if number == signal.SIGKILL:
        store.start()
    else:
        store.signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_artifact_is_whole_or_not_there(server: GuardedServer, fragile: ObjectStore, number: int) -> None:
    rest = Rest(server.uri)
    values = {"name": f"fault-{number}"}
    experiment = rest.post(f"{API}/experiments/create", values)["experiment_id"]
    path, content = f"{experiment}/run/artifacts/weights.bin", bytes(12 * 2**20)
    started = time.monotonic()
    breaker = threading.Timer(0.05, _break, (fragile, number))
    breaker.start()
    answer = rest("PUT", f"{ARTIFACTS}/{path}", body=content)
    breaker.join()
    took = time.monotonic() - started
    # the upload may have been quicker than the fault
    if answer.status != 200:
        assert answer.status == 424, answer.text
        assert "the artifact store s3://speech/mlflow" in answer.message
        assert "elp doctor names what to set" in answer.message
    assert took < LONGEST
    # away from the beginning: one sentence, in bounded time
    started = time.monotonic()
    rest("PUT", f"{ARTIFACTS}/{path}", body=b"small").must_be(424, "the artifact store s3://speech/mlflow")
    assert time.monotonic() - started < LONGEST
    _mend(fragile, number)
    assert all(len(found) in (len(content), len(b"small")) for found in server.stored(f"{experiment}/run").values())
    rest("PUT", f"{ARTIFACTS}/{path}", body=content).must_be(200)
    assert server.stored(f"{experiment}/run") == {path: content}


@pytest.fixture
def workspace(tmp_path: Path, fragile: ObjectStore) -> Workspace:
    """A workspace whose remote is in that store, with a folder that is tracked and not pushed."""
    made = init_workspace(tmp_path / "w", profile=Profile(f"s3://speech/{tmp_path.name}", s3_endpoint=fragile.endpoint))
    write_secrets(made.state, OWNER.data_environment())
    folder = made.root / FOLDER
    folder.mkdir(parents=True)
    for letter in "abcd":
        (folder / f"{letter}.parquet").write_bytes(letter.encode() * 2**20)
    track(made.root, [FOLDER])
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_push_ends_with_an_error_and_the_next_one_finishes(
    workspace: Workspace, fragile: ObjectStore, number: int
) -> None:
    _break(fragile, number)
    started = time.monotonic()
    with pytest.raises(DataRemoteAway, match="DVC could not push"):
        push(workspace.root, [FOLDER])
    took = time.monotonic() - started
    assert took < (LONGEST if number == signal.SIGKILL else 600)
    _mend(fragile, number)
    push(workspace.root, [FOLDER])
    with dvc_remote(workspace.root, remote_only=True) as stored:
        listing = stored.listing(track(workspace.root, [FOLDER])[FOLDER])
        assert stored.missing(set(listing.values())) == set()


@pytest.mark.slow
def test_a_server_without_its_database_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's main process is killed under requests: whatever breaks, the caller gets RemoteAway, then goes on."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # not the cluster of the session, which others use
    with postgres_server() as postgres, guarded_server(tmp_path, postgres.database("mlflow")) as running:
        client = connect(running.uri)
        experiment = client.create_experiment("faults")
        slot = Slot("plant-a", "asr")
        failed = 0
        for _ in range(3):
            breaker = threading.Timer(0.2, postgres.kill)
            breaker.start()
            ends = time.monotonic() + 1.0
            while time.monotonic() < ends:
                for ask in (
                    lambda: _new_run(client, experiment),
                    lambda: list_versions(client, slot),
                    lambda: ledger_entries(running.uri, slot),
                ):
                    try:
                        ask()
                    except RemoteAway:
                        failed += 1
            breaker.join()
            postgres.start()
            # no connection of the pool is dead: each is tried before it is used
            assert _new_run(client, experiment)
            assert list_versions(client, slot) == []
        assert failed > 3


@answering
def _new_run(client: MlflowClient, experiment: str) -> str:
    return str(client.create_run(experiment).info.run_id)
