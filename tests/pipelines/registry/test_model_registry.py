from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.errors import RegistryError
from pipelines.registry.adapter_version import Tags
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import server_api as guard
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.versions import add_version, make_champion, record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


def test_a_slot_nobody_trained_is_empty(client: MlflowClient) -> None:
    slot = Slot("nobody", "asr")
    assert registry.list_versions(client, slot) == []
    assert registry.find_champion(client, slot) is None
    assert registry.find(client, slot, 1) is None
    assert registry.find_by_key(client, slot, "k") is None
    assert registry.candidate(client, slot) is None


def test_what_is_missing_is_named_with_the_next_step(client: MlflowClient) -> None:
    slot = Slot("missing", "asr")
    add_version(client, slot, "k1")
    with pytest.raises(RegistryError, match=r"missing/asr: no version 7 .*elp versions list missing/asr"):
        registry.get(client, slot, 7)
    with pytest.raises(RegistryError, match="no version with the alias champion"):
        registry.get(client, slot, "champion")


def test_a_version_is_found_by_its_training_key(client: MlflowClient) -> None:
    slot, other = Slot("keys", "asr"), Slot("keys-too", "asr")
    made = add_version(client, slot, "k1")
    add_version(client, slot, "k2")
    add_version(client, other, "k1")
    assert registry.find_by_key(client, slot, "k1") == made
    assert registry.find_by_key(client, slot, "k3") is None


def test_the_server_keeps_one_version_of_a_training(client: MlflowClient) -> None:
    slot = Slot("race", "asr")
    first = add_version(client, slot, "k1")
    assert add_version(client, slot, "k1").version == first.version
    assert [one.version for one in registry.list_versions(client, slot)] == [first.version]
    registry.delete_version(client, first)
    assert add_version(client, slot, "k1").version == first.version + 1, "a deleted version does not count"


def test_versions_come_newest_first_with_their_aliases(client: MlflowClient, tmp_path: Path) -> None:
    slot = Slot("aliases", "asv")
    add_version(client, slot, "k1")
    record_verdict(client, add_bundle(client, slot, "k2", tmp_path))
    add_version(client, slot, "k3")
    found = registry.list_versions(client, slot)
    assert [v.version for v in found] == [3, 2, 1]
    assert [v.status for v in found] == ["candidate", "challenger", "candidate"]
    assert slot in registry.list_slots(client)


def test_a_change_of_champion_is_written_on_both_versions(client: MlflowClient, tmp_path: Path) -> None:
    slot = Slot("change", "asr")
    make_champion(client, add_bundle(client, slot, "k1", tmp_path))
    now = make_champion(client, add_bundle(client, slot, "k2", tmp_path), by="bob", why="better")
    before = registry.get(client, slot, 1)
    assert (now.aliases, now.tags[Tags.PREDECESSOR], before.status) == (("champion",), "1", "retired")
    assert (now.tags[Tags.PROMOTED_BY], now.tags[Tags.PROMOTED_WHY]) == ("bob", "better")


def test_setting_the_champion_again_changes_nothing(client: MlflowClient, tmp_path: Path) -> None:
    slot = Slot("again", "asr")
    first = make_champion(client, add_bundle(client, slot, "k1", tmp_path))
    assert not guard.change_champion(client.tracking_uri, "promote", slot, version=1, by="bob", reason="again").changed
    assert registry.get(client, slot, 1) == first


def test_the_candidate_is_the_newest_after_the_champion(client: MlflowClient, tmp_path: Path) -> None:
    slot = Slot("candidate", "asr")
    for key in ("k1", "k2"):
        add_version(client, slot, key)
    last = add_bundle(client, slot, "k3", tmp_path)
    assert getattr(registry.candidate(client, slot), "version", None) == 3
    make_champion(client, last)
    assert registry.candidate(client, slot) is None
