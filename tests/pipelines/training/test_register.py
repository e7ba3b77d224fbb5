from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from elp_core.bundle import verify_bundle
from elp_core.files import write_whole
from elp_core.training import EpochRecord
from pipelines.registry.client import bundle_models, model_registry, runs, server_api
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import Lineage
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.signing.keys import key_folder
from pipelines.registry.slot import Slot
from pipelines.registry.statements import parse_statement
from pipelines.training.curves import log_history
from pipelines.training.finished import Trained
from pipelines.training.register import register_trained, reuse_version
from tests.support.bundles import make_bundle

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration

METRICS = {"wer": 0.5, "trainable_parameters": 100.0, "bundle_bytes": 1e6, "train_seconds": 1.0}


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture
def keys(mlflow_uri: str) -> Path:
    return key_folder()


def _trained(folder: Path, slot: Slot, *, silent: bool = False) -> Trained:
    digest = make_bundle(folder / "bundle", slot, "k1", silent=silent)
    write_whole(folder / "report" / "note.txt", "x")
    lineage = Lineage.from_json(verify_bundle(folder / "bundle").lineage)
    return Trained(folder, digest, "wer", 0.5, METRICS, (), lineage)


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (runs, "log_params"),
        (runs, "log_folder"),
        (bundle_models, "log_bundle"),
        (bundle_models, "_pack"),
        (model_registry, "create_version"),
        (server_api, "submit_statement"),
        (runs, "close_run"),
    ],
)
def test_killed_anywhere_the_next_call_completes_it(
    client: MlflowClient, keys: Path, tmp_path: Path, module: object, name: str
) -> None:
    slot = Slot(f"killed-{name.strip('_').replace('_', '-')}", "asr")
    trained = _trained(tmp_path, slot)
    run_id = runs.open_run(client, slot, "k1", "run", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, _kill(name))
        with pytest.raises(Killed, match=name):
            register_trained(client, slot, run_id, trained, keys, reused=False, log=print)
    for _ in range(2):
        register_trained(
            client, slot, runs.open_run(client, slot, "k1", "run", {}), trained, keys, reused=True, log=print
        )
    assert [v.version for v in model_registry.list_versions(client, slot)] == [1]
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len([*server_api.list_statements(client.tracking_uri, model=slot.model_name, kind="lineage")]) == 1
    assert bundle_models.download_bundle(client, model_registry.get(client, slot, 1), tmp_path / "cache").is_dir()


def _kill(name: str) -> object:
    def raise_it(*_: object, **__: object) -> None:
        raise Killed(name)

    return raise_it


def test_of_two_workers_with_one_key_the_first_counts(
    client: MlflowClient, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot("two-workers", "asr")
    trained = _trained(tmp_path, slot)
    run_id = runs.open_run(client, slot, "k1", "run", {})
    first = register_trained(client, slot, run_id, trained, keys, reused=False, log=print)
    there = model_registry.get(client, slot, first.version)
    # it looks before the other one registers, and again when the server refuses a second version
    found = iter([None, there, there])
    monkeypatch.setattr(model_registry, "find_by_key", lambda *_: next(found))
    assert register_trained(client, slot, run_id, trained, keys, reused=False, log=print) == first
    assert [v.version for v in model_registry.list_versions(client, slot)] == [first.version]


def test_of_two_machines_at_once_the_server_takes_one_version_and_its_lineage_is_signed_by_any(
    client: MlflowClient, keys: Path, tmp_path: Path
) -> None:
    slot = Slot("two-machines", "asr")
    mine, theirs = _trained(tmp_path / "one", slot), _trained(tmp_path / "two", slot, silent=True)
    assert mine.bundle_digest != theirs.bundle_digest
    run_id = runs.open_run(client, slot, "k1", "run", {})
    with pytest.MonkeyPatch.context() as patch:
        # this machine ends between the version and its signed lineage; the other one looked before the version existed
        patch.setattr(server_api, "submit_statement", _kill("submit_statement"))
        with pytest.raises(Killed):
            register_trained(client, slot, run_id, mine, keys, reused=False, log=print)
    find, looks = model_registry.find_by_key, iter([False])
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_registry, "find_by_key", lambda *given: find(*given) if next(looks, True) else None)
        done = register_trained(client, slot, run_id, theirs, keys, reused=False, log=said.append)
    (version,) = model_registry.list_versions(client, slot)
    assert (done.version, done.bundle_digest) == (version.version, mine.bundle_digest)
    assert bundle_models.download_bundle(client, version, tmp_path / "cache").is_dir()
    assert said == [
        f"{version.name} was registered by another machine meanwhile",
        f"recorded the lineage of {version.name}, which another machine had signed",
    ]
    (statement,) = server_api.list_statements(client.tracking_uri, model=slot.model_name, kind="lineage")
    assert parse_statement(read_envelope(statement.envelope).payload).bundle == mine.bundle_digest


def test_a_machine_that_trained_nothing_completes_the_version_of_one_that_is_gone(
    client: MlflowClient, keys: Path, tmp_path: Path
) -> None:
    slot = Slot("gone", "asr")
    run_id = runs.open_run(client, slot, "k1", "run", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_api, "submit_statement", _kill("submit_statement"))
        with pytest.raises(Killed):
            register_trained(client, slot, run_id, _trained(tmp_path, slot), keys, reused=False, log=print)
    (version,) = model_registry.list_versions(client, slot)
    for _ in range(2):
        reuse_version(client, version, tmp_path / "empty", keys, print)
    assert len([*server_api.list_statements(client.tracking_uri, model=slot.model_name, kind="lineage")]) == 1


def test_epochs_that_could_not_be_sent_are_logged_at_the_end(client: MlflowClient) -> None:
    run_id = runs.open_run(client, Slot("late", "asr"), "k1", "run", {})
    history = [EpochRecord(1, 2.0, 0.9, 1.0), EpochRecord(2, 1.0, 0.8, 2.0)]
    log_history(client, run_id, history[:1])
    log_history(client, run_id, history)
    points = client.get_metric_history(run_id, "epoch.validation")
    assert [(point.step, point.value) for point in points] == [(1, 0.9), (2, 0.8)]
