"""Training runs in MLflow: one experiment per slot, one run per training key.

Every write can be repeated: MLflow keeps equal points, parameters and inputs once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.fail_points import durable_write
from pipelines.registry.adapter_version import OPENED_TAG, Tags
from pipelines.registry.client.connection import answering
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_BATCH = 1000
"""Metrics in one call: MLflow's own limit."""
# MLflow's limits: parameters in one call, and characters of a value
_PARAMS = 100
_PARAM_CHARACTERS = 6000


@dataclass(frozen=True)
class DatasetInput:
    """A dataset as MLflow shows it with a run."""

    name: str
    digest: str
    """DVC hash."""
    source: Mapping[str, Any]
    """Its place: repository, Git revision, tag, path."""
    context: str
    """``training`` or ``golden``."""
    profile: Mapping[str, Any]
    """Clips, minutes, speakers: shown as the dataset's profile."""


@answering
def open_run(
    client: MlflowClient, slot: Slot, key: str, name: str, tags: Mapping[str, str], *, experiment: str = ""
) -> str:
    """Return the id of the run of this training key: an existing run, whatever its state, or a new one.

    `experiment` is the name of another experiment than that of the slot's trainings.
    """
    experiment = _experiment(client, slot, experiment or slot.model_name)
    started = int(time.time() * 1000)
    tags = {**tags, OPENED_TAG: str(started)}
    found = client.search_runs([experiment], f"tags.`{Tags.KEY}` = '{key}'", max_results=1, order_by=["start_time ASC"])
    if found:
        # if two workers created a run at the same moment, the older one is the run of this key from now on
        run_id: str = found[0].info.run_id
        with durable_write("run again"):
            client.update_run(run_id, status="RUNNING", name=name)
            for tag, value in tags.items():
                client.set_tag(run_id, tag, value)
        return run_id
    with durable_write("run"):
        made = client.create_run(experiment, start_time=started, tags={**tags, Tags.KEY: key}, run_name=name)
    return str(made.info.run_id)


@answering
def tagged_run(client: MlflowClient, slot: Slot, tag: str, value: str) -> tuple[str, str] | None:
    """Return id and status of the newest run of the slot's experiment that has this value of a tag, or None."""
    experiment = client.get_experiment_by_name(slot.model_name)
    if experiment is None:
        return None
    wanted = f"tags.`{tag}` = '{value}'"
    found = client.search_runs([experiment.experiment_id], wanted, max_results=1, order_by=["start_time DESC"])
    return (str(found[0].info.run_id), str(found[0].info.status)) if found else None


@answering
def close_run(client: MlflowClient, run_id: str, status: str = "FINISHED") -> None:
    """End a run as FINISHED, FAILED or KILLED; a run that already has this state is not changed."""
    if client.get_run(run_id).info.status != status:
        with durable_write("end of run"):
            client.set_terminated(run_id, status)


@answering
def open_runs(client: MlflowClient, slot: Slot, tag: str, value: str) -> list[str]:
    """Return the ids of the slot's runs that have this value of a tag and have not ended."""
    experiment = client.get_experiment_by_name(slot.model_name)
    if experiment is None:
        return []
    wanted = f"tags.`{tag}` = '{value}' AND attributes.status = 'RUNNING'"
    return [str(run.info.run_id) for run in client.search_runs([experiment.experiment_id], wanted, max_results=1000)]


@answering
def log_params(client: MlflowClient, run_id: str, config: Mapping[str, Any]) -> None:
    """Log a nested configuration as dotted parameters."""
    from mlflow.entities import Param

    flat = [Param(key, str(value)[:_PARAM_CHARACTERS]) for key, value in flatten(config).items()]
    for start in range(0, len(flat), _PARAMS):
        with durable_write("params of run"):
            client.log_batch(run_id, params=flat[start : start + _PARAMS])


@answering
def log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float]) -> None:
    """Log final values, one point each."""
    from mlflow.entities import Metric

    # with a fixed time and step a repeated call adds no point: MLflow keeps equal points once
    log_points(client, run_id, [Metric(key, float(value), 0, 0) for key, value in metrics.items()])


@answering
def run_metrics(client: MlflowClient, run_id: str) -> dict[str, float]:
    """Return the last value of each metric of a run, by name."""
    return {str(name): float(value) for name, value in client.get_run(run_id).data.metrics.items()}


@answering
def logged_steps(client: MlflowClient, run_id: str, metric: str) -> set[int]:
    """Return the steps at which the run has a point of this curve."""
    return {int(point.step) for point in client.get_metric_history(run_id, metric)}


@answering
def log_points(client: MlflowClient, run_id: str, points: Sequence[Metric]) -> None:
    """Log points of curves in as few calls as MLflow allows."""
    for start in range(0, len(points), _BATCH):
        with durable_write("metrics of run"):
            client.log_batch(run_id, metrics=points[start : start + _BATCH])


@answering
def log_datasets(client: MlflowClient, run_id: str, datasets: Sequence[DatasetInput]) -> None:
    """Log the datasets that a run used."""
    import json

    from mlflow.entities import Dataset, InputTag
    from mlflow.entities import DatasetInput as MlflowInput

    inputs = [
        MlflowInput(
            dataset=Dataset(
                name=dataset.name,
                # MLflow accepts 36 characters; the version's tags have the whole hash
                digest=dataset.digest.split(":")[-1].removesuffix(".dir")[:36],
                source_type="git+dvc",
                source=json.dumps(dict(dataset.source), sort_keys=True),
                profile=json.dumps(dict(dataset.profile), sort_keys=True),
            ),
            tags=[InputTag("mlflow.data.context", dataset.context)],
        )
        for dataset in datasets
    ]
    with durable_write("inputs of run"):
        client.log_inputs(run_id, inputs)


@answering
def log_folder(client: MlflowClient, run_id: str, folder: Path, place: str) -> None:
    """Upload a folder's files as artifacts of the run under `place`."""
    with durable_write("artifacts of run"):
        client.log_artifacts(run_id, str(folder), place)


@answering
def fetch_artifact(client: MlflowClient, run_id: str, name: str, folder: Path) -> Path | None:
    """Download one file of the run's artifacts into `folder`; return None if it does not exist."""
    if name not in {file.path for file in client.list_artifacts(run_id, str(Path(name).parent))}:
        return None
    return Path(client.download_artifacts(run_id, name, str(folder)))


@answering
def set_run_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags on a run."""
    from mlflow.entities import RunTag

    with durable_write("tags of run"):
        client.log_batch(run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with the keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _experiment(client: MlflowClient, slot: Slot, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            with durable_write("experiment"):
                made = client.create_experiment(name, tags={"elp.site": slot.site, "elp.task": slot.task})
            return str(made)
        except MlflowException:
            # another worker created it at the same moment
            if (found := client.get_experiment_by_name(name)) is None:
                raise
    return str(found.experiment_id)
