from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from elp_core.errors import NonFiniteLoss
from pipelines.datasets.versions import version_at
from pipelines.errors import AttestationError, ServiceError, VersioningError
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.backbone_licence import BackbonePolicy, BackboneRecord
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import server_api as guard
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import BackboneOrigin
from pipelines.registry.signing.envelope import read_envelope, verify
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.training.curves import Curves
from pipelines.training.register import Registered
from pipelines.training.train import train_adapters
from tests.support.mlflow_server import free_port
from tests.support.workspaces import Site

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.local.settings import Settings
    from pipelines.registry.slot import Slot

pytestmark = pytest.mark.integration


@dataclass
class Trainer:
    """Calls the step on one site with one cache, and keeps what it said."""

    site: Site
    mlflow_uri: str
    cache: Path
    logged: list[str] = field(default_factory=list)

    def __call__(self, slot: Slot, tag: str = "", **over: Any) -> Registered:
        settings = over.pop("settings", self.site.settings)
        options = {
            "mlflow_uri": self.mlflow_uri,
            "cache": self.cache,
            "flow_run_id": "flow-1",
            "log": self.logged.append,
        }
        return train_adapters(self.site.repository, {slot: tag or slot.tag(1)}, settings, **{**options, **over})[slot]


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture(scope="module")
def train(site: Site, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(site, mlflow_uri, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def done(train: Trainer, site: Site) -> Registered:
    """The slot's first adapter, trained once for this module; only then, its backbone has a record."""
    from elp_core.backbones import Backbone

    record = BackboneRecord(site.settings.backbone, "MIT", "allowed", "hub x/y", "speech (1 h)")
    known = {Backbone.from_pretrained(site.settings.backbone).fingerprint: record}
    return train(site.asr, settings=replace(site.settings, backbones=BackbonePolicy(records=known)))


@pytest.fixture
def no_training(done: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("it was trained again")

    monkeypatch.setattr("elp_core.training.train_together", refuse)


def test_a_version_carries_where_it_came_from(client: MlflowClient, done: Registered, site: Site) -> None:
    version = registry.get(client, site.asr, done.version)
    tags = version.tags
    assert (tags[Tags.VERDICT], version.status, tags[Tags.METRIC]) == ("not gated", "candidate", "wer")
    assert (tags[Tags.DATASET], tags.get(Tags.GOLDEN)) == ("data/plant-a/asr/v1", None)
    assert (tags[Tags.KEY], tags[Tags.BUNDLE], tags[Tags.FLOW_RUN]) == (done.key, done.bundle_digest, "flow-1")
    assert version.description.startswith("Candidate for plant-a/asr, not gated yet: WER ")


def test_its_signed_lineage_names_the_materials(client: MlflowClient, done: Registered, site: Site) -> None:
    (row,) = guard.list_statements(client.tracking_uri, model=done.name, version=done.version, kind="lineage")
    envelope, ring = read_envelope(row.envelope), load_trusted_keys(key_folder())
    statement = parse_statement(envelope.payload)
    assert verify(envelope, ring, "lineage").name == "lineage"
    assert isinstance(statement, LineageStatement)
    assert statement.bundle == done.bundle_digest
    assert (
        statement.material("dataset").digest["gitCommit"]
        == version_at(site.repository, site.asr.tag(1), site.asr).revision
    )
    assert {material.name for material in statement.materials} >= {"golden", "backbone", "code", "packages", "clips"}
    assert statement.backbone_origin == BackboneOrigin("MIT", "allowed", "hub x/y", "speech (1 h)")
    assert "| licence of the backbone | `MIT` |" in registry.get(client, site.asr, done.version).description


@pytest.mark.usefixtures("no_training")
def test_a_lineage_that_was_not_signed_in_time_is_signed_by_the_next_call(
    client: MlflowClient, train: Trainer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = guard.list_statements
    monkeypatch.setattr(guard, "list_statements", lambda uri, **wanted: [])
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(guard, "submit_statement", lambda *arguments: sent.append(arguments))
    version = train(site.asr).version
    assert [arguments[1:3] for arguments in sent] == [(site.asr.model_name, version)]
    (row,) = known(client.tracking_uri, model=site.asr.model_name, version=version, kind="lineage")
    assert sent[0][3] == row.envelope, "the same bundle, signed again by the same key, is the same statement"


@pytest.mark.usefixtures("no_training")
def test_another_machine_hands_in_what_the_first_one_signed(
    client: MlflowClient, done: Registered, train: Trainer, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (row,) = guard.list_statements(client.tracking_uri, model=done.name, version=done.version, kind="lineage")
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(guard, "list_statements", lambda uri, **wanted: [])
    monkeypatch.setattr(guard, "submit_statement", lambda *arguments: sent.append(arguments))
    train(site.asr, cache=tmp_path)
    assert [arguments[3] for arguments in sent] == [row.envelope]
    assert any("which another machine had signed" in line for line in train.logged)


def test_without_a_key_nothing_is_trained(train: Trainer, site: Site, tmp_path: Path) -> None:
    with pytest.raises(AttestationError, match="make keys with: elp keys new"):
        train(site.asr, keys=tmp_path / "none")


def test_the_run_has_curves_settings_datasets_and_a_report(client: MlflowClient, done: Registered) -> None:
    run = client.get_run(done.run_id)
    report = {Path(f.path).name for f in client.list_artifacts(done.run_id, "report")}
    contexts = [tag.value for given in run.inputs.dataset_inputs for tag in given.tags]
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "2"
    assert sorted(contexts) == ["golden", "training"]
    assert report == {"curves.png", "lineage.json", "packages.txt"}
    assert len(client.get_metric_history(done.run_id, "epoch.validation")) == 2


def test_the_bundle_comes_back_verified_with_its_lineage(
    client: MlflowClient, done: Registered, site: Site, cache: Path
) -> None:
    version = registry.get(client, site.asr, done.version)
    folder = models.download_bundle(client, version, cache)
    lineage = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
    assert (lineage["key"], lineage["mlflow_run"]) == (done.key, done.run_id)
    assert lineage["dataset"]["revision"] == version.tags[Tags.REVISION]
    assert not list(folder.rglob("*.pkl"))
    assert models.download_bundle(client, version, cache) == folder


@pytest.mark.usefixtures("no_training")
def test_the_same_inputs_are_not_trained_twice(train: Trainer, done: Registered, site: Site, tmp_path: Path) -> None:
    again = train(site.asr, cache=tmp_path)
    assert (again.version, again.reused, again.bundle_digest) == (done.version, True, done.bundle_digest)
    assert again.metrics["wer"] == pytest.approx(done.metrics["wer"])


@pytest.mark.usefixtures("no_training")
def test_a_version_that_someone_deleted_is_registered_from_this_machine(
    client: MlflowClient, train: Trainer, site: Site
) -> None:
    settings = changed(site, "asv", seed=9011)  # no other file registers it on the server that they share
    first = train_once(train, site.asv, settings)
    client.delete_model_version(site.asv.model_name, str(first.version))
    back = train(site.asv, settings=settings)
    assert (back.version, back.reused, back.run_id) == (first.version + 1, True, first.run_id)


def train_once(train: Trainer, slot: Slot, settings: Settings) -> Registered:
    """Train for real, whatever the test forbids from then on."""
    with pytest.MonkeyPatch.context() as patch:
        from elp_core.training.loop import train_together as real

        patch.setattr("elp_core.training.train_together", real)
        return train(slot, settings=settings)


@pytest.mark.usefixtures("no_training")
def test_an_adapter_that_release_0_1_0_registered_is_not_trained_again(
    client: MlflowClient, train: Trainer, done: Registered, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    version = registry.get(client, site.asr, done.version)

    def only_by_the_former_key(_: MlflowClient, slot: Slot, key: str) -> AdapterVersion | None:
        asked.append(key)
        return version if len(asked) == 2 else None

    monkeypatch.setattr(registry, "find_by_key", only_by_the_former_key)
    assert train(site.asr).version == done.version
    assert asked[0] == done.key
    assert asked[1] not in ("", done.key)


def test_without_a_server_training_does_not_start(train: Trainer, site: Site) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match=f"no MLflow server answers at {gone}"):
        train(site.asr, mlflow_uri=gone)


def test_a_server_lost_at_the_end_costs_no_training(
    train: Trainer, site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = changed(site, seed=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "log_bundle", _gone)
        with pytest.raises(ServiceError, match="gone"):
            train(site.asr, settings=other, cache=cache)
    monkeypatch.setattr("elp_core.training.train_together", lambda *_, **__: pytest.fail("it was trained again"))
    assert train(site.asr, settings=other, cache=cache).reused


def _gone(*_: object, **__: object) -> None:
    raise ServiceError("gone")


def changed(site: Site, task: str = "asr", **train: Any) -> Settings:
    """The site's settings with other training values for one task."""
    mine: Mapping[str, Any] = site.settings.defaults[task]
    return replace(site.settings, defaults={task: {**mine, "train": {**mine["train"], **train}}})


def test_what_the_task_is_told_makes_another_training(train: Trainer, site: Site, done: Registered) -> None:
    mine = site.settings.defaults["asr"]
    other = replace(site.settings, defaults={"asr": {**mine, "task": {"width": 16}}})
    again = train(site.asr, settings=other)
    assert again.key != done.key
    bundle = train.cache / "bundles" / again.key / "bundle"
    lineage = json.loads((bundle / "lineage.json").read_text())
    assert lineage["config"]["task"] == {"dropout": 0.1, "width": 16, "dilations": [1, 2, 4]}
    assert json.loads((bundle / "adapter_config.json").read_text())["task"]["width"] == 16


def test_the_metric_of_the_gate_chooses_the_epoch(train: Trainer, site: Site, done: Registered) -> None:
    def by(metric: str) -> Registered:
        mine = site.settings.defaults["asr"]
        gate = {**mine.get("gate", {}), "metric": metric}
        return train(site.asr, settings=replace(site.settings, defaults={"asr": {**mine, "gate": gate}}))

    assert by("wer").key == done.key, "it is the metric of English"
    again = by("cer")
    assert again.key != done.key
    lineage = json.loads((train.cache / "bundles" / again.key / "bundle" / "lineage.json").read_text())
    assert (lineage["validation"]["metric"], lineage["config"]["metric"]) == ("cer", "cer")


def test_the_threshold_of_the_validation_trials_is_in_the_bundle(train: Trainer, site: Site) -> None:
    done = train(site.asv)
    bundle = train.cache / "bundles" / done.key / "bundle"
    task = json.loads((bundle / "adapter_config.json").read_text())["task"]
    assert task["threshold"] == json.loads((bundle / "lineage.json").read_text())["validation"]["eer.threshold"]


def test_a_loss_that_breaks_ends_the_run_as_failed(
    client: MlflowClient, train: Trainer, site: Site, cache: Path, done: Registered
) -> None:
    def failed() -> dict[str, str]:
        experiment = client.get_experiment_by_name(site.asr.model_name)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], "tags.`elp.error` LIKE 'NonFiniteLoss%'")
        return {run.info.run_id: run.info.status for run in runs}

    before = failed()  # of other files: they share the server
    with pytest.raises(NonFiniteLoss, match="the loss is"):
        train(site.asr, settings=changed(site, lr_head=1e30, clip_norm=1e30, seed=3), cache=cache)
    assert [status for run, status in failed().items() if run not in before] == ["FAILED"]
    assert not list(cache.rglob("training.json"))


def test_killed_in_the_middle_it_ends_in_the_same_tensors(
    client: MlflowClient, train: Trainer, site: Site, cache: Path, done: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def on_step(self: Curves, step: int, *_: object) -> None:
        steps.append(step)
        if steps == [1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Curves, "on_step", on_step)
    often = changed(site, checkpoint_minutes=1e-9)
    with pytest.raises(KeyboardInterrupt):
        train(site.asr, settings=often, cache=cache)
    again = train(site.asr, settings=often, cache=cache)
    assert steps[:4] == [1, 2, 3, 3]
    assert steps[3:] == list(range(3, len(steps)))
    folders = [
        models.download_bundle(client, registry.get(client, site.asr, one.version), cache) for one in (done, again)
    ]
    assert len({(folder / "adapter_model.safetensors").read_bytes() for folder in folders}) == 1


def test_a_version_that_is_not_there_is_named(train: Trainer, site: Site) -> None:
    with pytest.raises(VersioningError, match=r"plant-a/asr has no dataset version 'data/plant-a/asr/v9'"):
        train(site.asr, tag="data/plant-a/asr/v9")


def test_progress_is_told(train: Trainer, done: Registered) -> None:
    assert done.version
    assert any(line.startswith("training plant-a/asr on 16 clips") for line in train.logged)
    assert any(line.startswith("epoch 2, step ") for line in train.logged)


@pytest.fixture
def loaded(mlflow_uri: str, done: Registered, site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow.pyfunc

    assert done.name == "elp.plant-a.asr"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("ELP_BACKBONE", site.settings.backbone)
    return mlflow.pyfunc.load_model(f"models:/{done.name}/{done.version}")


def test_mlflow_serves_it_from_paths_bytes_and_arrays(loaded: Any, site: Site) -> None:
    import numpy as np

    from elp_core.audio import load

    path = next((site.workspace.root.parent / "delivery" / "test").glob("*.wav"))
    answers = [loaded.predict([item])[0] for item in (str(path), path.read_bytes(), load(path))]
    assert answers == loaded.predict(np.stack([load(path)] * 3))
    assert isinstance(answers[0], str)


def test_the_example_of_mlflows_page_is_answered_in_python_and_over_json(loaded: Any, done: Registered) -> None:
    """The example, as MLflow reads it, and the code that its page shows."""
    from mlflow.models import validate_serving_input
    from mlflow.models.utils import load_serving_example

    address = f"models:/{done.name}/{done.version}"
    (answer,) = loaded.predict(loaded.input_example)
    assert isinstance(answer, str)
    # MLflow's page shows this call, which MLflow itself wants to replace
    with pytest.warns(FutureWarning, match="deprecated"):
        assert validate_serving_input(address, load_serving_example(address)) == [answer]
