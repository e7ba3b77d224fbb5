from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.registry.client import runs as tracking
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from pipelines.training import curves

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


def _dataset() -> tracking.DatasetInput:
    return tracking.DatasetInput("data/a/asr/v1", "d" * 36 + "more", {"revision": "abc"}, "training", {"clips": 3})


def test_one_key_has_one_run(client: MlflowClient) -> None:
    slot = Slot("runs", "asr")
    first = tracking.open_run(client, slot, "k1", "v1", {"elp.dataset": "v1"})
    tracking.close_run(client, first, "FAILED")
    assert tracking.open_run(client, slot, "k1", "v1", {}) == first
    assert client.get_run(first).info.status == "RUNNING"
    assert tracking.open_run(client, slot, "k2", "v2", {}) != first


def test_logging_twice_adds_nothing(client: MlflowClient, tmp_path: Path) -> None:
    run_id = tracking.open_run(client, Slot("twice", "asr"), "k1", "v1", {})
    (tmp_path / "note.txt").write_text("x")
    for _ in range(2):
        tracking.log_params(client, run_id, {"train": {"epochs": 3}, "backbone": "elp:tiny"})
        tracking.log_metrics(client, run_id, {"wer": 0.25})
        tracking.log_datasets(client, run_id, [_dataset()])
        tracking.log_folder(client, run_id, tmp_path, "report")
    run = client.get_run(run_id)
    assert run.data.params == {"train.epochs": "3", "backbone": "elp:tiny"}
    assert len(client.get_metric_history(run_id, "wer")) == 1
    assert [d.dataset.digest for d in run.inputs.dataset_inputs] == ["d" * 36]
    assert [f.path for f in client.list_artifacts(run_id, "report")] == ["report/note.txt"]


def test_more_points_than_one_call_takes_all_arrive(client: MlflowClient) -> None:
    run_id = tracking.open_run(client, Slot("points", "asr"), "k1", "v1", {})
    observer = curves.Curves(client, run_id, print)
    for step in range(1, 1201):
        observer.on_step(step, 1200, 1.0 / step, {"head": 1e-3})
    observer.on_epoch(1, 0.5, 0.25)
    observer.finish()
    assert len(client.get_metric_history(run_id, "rate.head")) == 120
    assert tracking.run_metrics(client, run_id)["epoch.validation"] == 0.25
    assert client.get_metric_history(run_id, "train.loss")[-1].step == 1200
