from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.clients import models, registry, tracking
from pipelines.settings import Slot
from pipelines.steps.register import register
from pipelines.steps.trained import Trained, write_text
from tests.support.bundles import make_bundle

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration

METRICS = {"wer": 0.5, "trainable_parameters": 100.0, "bundle_bytes": 1e6, "train_seconds": 1.0}


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return registry.connect(mlflow_uri)


def _trained(folder: Path, slot: Slot) -> Trained:
    digest = make_bundle(folder / "bundle", slot, "k1")
    write_text(folder / "report" / "note.txt", "x")
    return Trained(folder, digest, "wer", 0.5, METRICS)


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (tracking, "log_params"),
        (tracking, "log_folder"),
        (models, "log_bundle"),
        (models, "_pack"),
        (registry, "create_version"),
        (tracking, "close_run"),
    ],
)
def test_killed_anywhere_the_next_call_completes_it(
    client: MlflowClient, tmp_path: Path, module: object, name: str
) -> None:
    slot = Slot(f"killed-{name.strip('_').replace('_', '-')}", "asr")
    trained = _trained(tmp_path, slot)
    run_id = tracking.open_run(client, slot, "k1", "run", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, _kill(name))
        with pytest.raises(Killed, match=name):
            register(client, slot, run_id, trained, reused=False, log=print)
    for _ in range(2):
        register(client, slot, tracking.open_run(client, slot, "k1", "run", {}), trained, reused=True, log=print)
    assert [v.version for v in registry.versions(client, slot)] == [1]
    assert client.get_run(run_id).info.status == "FINISHED"
    assert models.download(client, registry.get(client, slot, 1), tmp_path / "cache").is_dir()


def _kill(name: str) -> object:
    def raise_it(*_: object, **__: object) -> None:
        raise Killed(name)

    return raise_it
