from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pipelines.clients.champions import set_champion

from pipelines.clients import registry
from pipelines.clients.versions import Tags
from pipelines.errors import RegistryError
from pipelines.lineage.audit import Fact, render
from pipelines.settings import Settings, Slot
from pipelines.steps.audit import audit
from tests.support.bundles import add_bundle
from tests.support.versions import record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return registry.connect(mlflow_uri)


@pytest.fixture
def options(mlflow_uri: str, cache: Path) -> dict[str, Any]:
    return {"mlflow_uri": mlflow_uri, "cache": cache}


def _find(tree: Fact, name: str) -> Fact:
    return next(fact for fact in tree.walk() if fact.name == name)


def test_an_audit_goes_down_to_hashes_and_says_what_it_checked(
    client: MlflowClient, options: dict[str, Any], tmp_path: Path
) -> None:
    slot = Slot("audited", "asr")
    version = record_verdict(client, add_bundle(client, slot, "k1", tmp_path))
    set_champion(client, slot, 1, by="ann", why="first")
    tree = audit(slot, Settings(), **options)
    assert tree.mismatches == ()
    assert _find(tree, "bundle").state == _find(tree, "DVC hash").state == _find(tree, "fingerprint").state == "ok"
    assert (_find(tree, "verdict").value, _find(tree, "about the bundle").value) == ("passed", version.bundle_digest)
    assert _find(tree, "promoted").note == "by ann: first"
    missing = f"not among the artifacts of run {version.run_id}"  # the verdict was recorded without its evidence
    assert [fact.note for fact in tree.unchecked] == ["no repository at hand", missing]
    assert json.loads(json.dumps(tree.to_json()))["value"] == "audited/asr v1"
    assert "└─" in render(tree)


def test_an_altered_tag_is_found(client: MlflowClient, options: dict[str, Any], tmp_path: Path) -> None:
    slot = Slot("altered", "asr")
    add_bundle(client, slot, "k1", tmp_path)
    registry.annotate(client, slot, 1, {Tags.DVC_HASH: "forged", Tags.BUNDLE: "sha256:forged"})
    assert [fact.name for fact in audit(slot, Settings(), 1, **options).mismatches] == ["bundle", "DVC hash"]


def test_altered_bytes_in_the_store_are_found(client: MlflowClient, options: dict[str, Any], tmp_path: Path) -> None:
    slot = Slot("bytes", "asr")
    version = add_bundle(client, slot, "k1", tmp_path)
    card = tmp_path / "README.md"
    card.write_text("another card")
    client.log_model_artifact(version.source.rpartition("/")[2], str(card), "artifacts/bundle")
    bundle = _find(audit(slot, Settings(), 1, **options), "bundle")
    assert bundle.state == "mismatch"
    assert "README.md" in bundle.note


def test_a_dataset_tag_that_moved_is_found(
    client: MlflowClient, options: dict[str, Any], tmp_path: Path, site: Any
) -> None:
    slot = site.asr
    add_bundle(client, Slot(slot.site, slot.task), "k-moved", tmp_path)
    number = registry.versions(client, slot)[0].version
    tree = audit(slot, Settings(), number, repository=site.repository, **options)
    assert {fact.name for fact in tree.mismatches} == {"tag points to", "data at the tag"}


def test_a_slot_without_adapters_is_told(options: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="has no adapters yet; make one with: elp retrain empty/asr"):
        audit(Slot("empty", "asr"), Settings(), **options)
