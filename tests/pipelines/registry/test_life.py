from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.gating.gate import gate_version
from pipelines.local.settings import Settings
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import promote_version
from pipelines.registry.policies import policy_digest
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.predict_files import predict_files
from pipelines.training.register import Registered
from pipelines.training.train import train_adapters
from tests.support.workspaces import Site

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def options(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {"mlflow_uri": mlflow_uri, "cache": tmp_path_factory.mktemp("cache")}


@pytest.fixture(scope="module")
def settings(site: Site) -> Settings:
    """A gate that a random backbone passes, and a seed of this module's own."""
    asv = site.settings.defaults["asv"]
    # how slow it is depends on what else the machine does
    gate = {"limit": 1.5, "min_slice": 1, "resamples": 200, "safety": {"max_slowdown": None}}
    loose = {**asv, "train": {**asv["train"], "seed": 11}, "gate": gate}
    return replace(site.settings, defaults={"asv": loose})


@pytest.fixture(scope="module")
def champion(site: Site, settings: Settings, options: dict[str, Any]) -> Registered:
    """An adapter that went the whole way."""
    made = train_adapters(site.repository, {site.asv: site.asv.tag(1)}, settings, **options)[site.asv]
    verdict = gate_version(site.repository, site.asv, settings, made.version, **options).verdict
    assert verdict.passed, verdict.reasons
    promote_version(
        site.asv,
        made.version,
        policy=policy_digest(settings.for_slot(site.asv).gate),
        mlflow_uri=options["mlflow_uri"],
        golden="golden/plant-a/asv/v1",
        by="ann",
    )
    return made


def test_the_champion_answers(site: Site, settings: Settings, options: dict[str, Any], champion: Registered) -> None:
    files = sorted((site.workspace.root.parent / "delivery" / "test").glob("*.wav"))[:2]
    answer = predict_files(site.asv, settings, files, RegistryChampions(options["mlflow_uri"], options["cache"]))
    assert answer.version == champion.version
    assert answer.score is not None
    assert answer.threshold is not None
    assert answer.accepted == (answer.score >= answer.threshold)


def test_its_page_begins_with_the_verdict(mlflow_uri: str, site: Site, champion: Registered) -> None:
    version = registry.get(connect(mlflow_uri), site.asv, champion.version)
    assert version.status == "champion"
    assert version.description.startswith("Passed the gate: EER ")
