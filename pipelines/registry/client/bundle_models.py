"""Bundles as MLflow models: a pyfunc of code and the bundle's files, without pickle and without the backbone."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.fail_points import durable_write
from elp_core.task_specs import TaskSpec
from pipelines.errors import RegistryError
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client.connection import answering
from pipelines.registry.client.model_interface import example_input, signature_of
from pipelines.registry.pyfunc.served_files import CODE, PACKAGES

if TYPE_CHECKING:
    from mlflow import MlflowClient

BUNDLE = "bundle"
"""The bundle's folder among the model's artifacts."""
_MODELS = "models:/m-"


@answering
def log_bundle(client: MlflowClient, run_id: str, folder: Path, key: str, spec: TaskSpec) -> str:
    """Log a bundle as the run's model, if it is not logged yet, and return the model's id.

    Args:
        client: Of the server.
        run_id: MLflow run that trained it.
        folder: The bundle; its name is `BUNDLE`.
        key: Training key.
        spec: Of the bundle's task: it says what the model returns.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    from elp_core.bundle import bundle_digest

    # MLflow names an artifact folder after the folder that it copies
    if folder.name != BUNDLE:
        raise ValueError(f"the folder is named {folder.name}, expected {BUNDLE}")
    experiment = client.get_run(run_id).info.experiment_id
    digest = bundle_digest(folder)
    found = client.search_logged_models([experiment], filter_string=f"tags.`{Tags.KEY}` = '{key}'")
    # another machine that trained the same has another bundle: the time and the run are in its lineage
    same = (model for model in found if model.tags.get(Tags.BUNDLE) == digest)
    ready = [model for model in same if model.status == LoggedModelStatus.READY]
    if ready:
        # two calls may have logged the same bundle: each of them takes the older model
        return str(min(ready, key=lambda model: model.creation_timestamp).model_id)
    tags = {Tags.KEY: key, Tags.BUNDLE: digest}
    with durable_write("logged model"):
        model = client.create_logged_model(
            experiment, name="adapter", source_run_id=run_id, tags=tags, model_type="elp-adapter"
        )
    with tempfile.TemporaryDirectory(prefix="elp-model-") as scratch:
        packed = Path(scratch) / "model"
        _pack(packed, folder, spec, location=model.artifact_location, model_id=model.model_id, run_id=run_id)
        with durable_write("upload of bundle"):
            client.log_model_artifacts(model.model_id, str(packed))
    with durable_write("output of run"):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    # last: the search above must not find the model of a worker that was killed while it uploaded
    with durable_write("model is ready"):
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


@answering
def download_unverified(client: MlflowClient, version: AdapterVersion, folder: Path) -> Path:
    """Download the bundle as the registry has it now; raise RegistryError if it is not a logged model."""
    import mlflow.artifacts

    if not version.source.startswith(_MODELS):
        raise RegistryError(f"{version.name} points to {version.source}, expected {_MODELS}…: train it with elp train")
    # models:/m-… cannot be used: MLflow resolves it with the global server of the process, whatever address is passed
    location = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
    downloaded = mlflow.artifacts.download_artifacts(
        f"{location}/artifacts/{BUNDLE}", dst_path=str(folder), tracking_uri=client.tracking_uri
    )
    return Path(downloaded)


def download_bundle(client: MlflowClient, version: AdapterVersion, cache: Path) -> Path:
    """Return the bundle as a verified local folder, kept under its digest: a second call copies nothing."""
    from elp_core.bundle import bundle_digest, verify_bundle

    expected = version.bundle_digest
    if not expected:
        raise RegistryError(f"{version.name} has no tag {Tags.BUNDLE}: it was not registered by elp train")
    place = cache / "adapters" / expected.replace(":", "-") / BUNDLE
    if place.is_dir() and bundle_digest(place) == expected:
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    # next to its place, because a folder can be renamed within one file system only
    with tempfile.TemporaryDirectory(prefix=".download-", dir=place.parent) as scratch:
        downloaded = download_unverified(client, version, Path(scratch))
        verify_bundle(downloaded)
        got = bundle_digest(downloaded)
        if got != expected:
            raise RegistryError(
                f"{version.name}: the registry's bundle has digest {got}, registered was {expected}; it was changed "
                "after its registration: do not use it, roll back or train again"
            )
        # os.replace refuses a folder with content; the one that may be here is damaged
        shutil.rmtree(place, ignore_errors=True)
        with durable_write("downloaded bundle"):
            os.replace(downloaded, place)
    return place


def _pack(place: Path, folder: Path, spec: TaskSpec, *, location: str, model_id: str, run_id: str) -> None:
    """Write the MLflow model folder: MLmodel with the signature, the example, the code file, the bundle."""
    with warnings.catch_warnings():
        # MLflow warns about its own type hints while it is imported
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        from mlflow.models import Model

        # it reports that it compares our example with our signature
        logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
        described = Model(artifact_path=location, run_id=run_id, model_uuid=model_id, model_id=model_id)
        with _packages_as_installed():
            mlflow.pyfunc.save_model(
                path=str(place),
                python_model=str(CODE),
                artifacts={BUNDLE: str(folder)},
                # without this list MLflow tries to infer one
                pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in sorted(PACKAGES)],
                mlflow_model=described,
                signature=signature_of(spec),
                input_example=example_input(),
            )
    # the check of a served model allows no other file than ours
    for compiled in place.rglob("__pycache__"):
        shutil.rmtree(compiled, ignore_errors=True)


@contextlib.contextmanager
def _packages_as_installed() -> Iterator[None]:
    """Let MLflow not compare the listed packages with the installed ones: the list is made of these.

    Before it compares, it reads which modules each file of every installed package belongs to, in more than a second.
    """
    from mlflow.utils import environment

    compare = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda model_requirements: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = compare
