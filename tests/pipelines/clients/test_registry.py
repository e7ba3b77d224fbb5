from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipelines.clients import registry
from pipelines.clients.champions import history, set_champion
from pipelines.clients.versions import Tags
from pipelines.errors import RegistryError
from pipelines.settings import Slot
from tests.support.versions import add_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return registry.connect(mlflow_uri)


def test_a_slot_nobody_trained_is_empty(client: MlflowClient) -> None:
    slot = Slot("nobody", "asr")
    assert registry.versions(client, slot) == []
    assert registry.champion(client, slot) is None
    assert registry.find(client, slot, 1) is None
    assert registry.find_by_key(client, slot, "k") is None
    assert registry.candidate(client, slot) is None


def test_what_is_missing_is_named_with_the_next_step(client: MlflowClient) -> None:
    slot = Slot("missing", "asr")
    add_version(client, slot, "k1")
    with pytest.raises(RegistryError, match=r"missing/asr: no version 7 .*elp adapters missing/asr"):
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


def test_of_two_versions_with_one_key_the_first_counts(client: MlflowClient) -> None:
    slot = Slot("race", "asr")
    first = add_version(client, slot, "k1")
    add_version(client, slot, "k1")
    found = registry.find_by_key(client, slot, "k1")
    assert found is not None
    assert found.version == first.version


def test_versions_come_newest_first_with_their_aliases(client: MlflowClient) -> None:
    slot = Slot("aliases", "asv")
    for key in ("k1", "k2", "k3"):
        add_version(client, slot, key)
    registry.set_alias(client, slot, "challenger", 2)
    found = registry.versions(client, slot)
    assert [v.version for v in found] == [3, 2, 1]
    assert [v.status for v in found] == ["candidate", "challenger", "candidate"]
    assert slot in registry.slots(client)


def test_the_champion_alias_has_one_door(client: MlflowClient) -> None:
    slot = Slot("door", "asr")
    add_version(client, slot, "k1")
    with pytest.raises(RegistryError, match="set by promotion only; run: elp promote door/asr"):
        registry.set_alias(client, slot, "champion", 1)


def test_a_change_of_champion_is_written_on_both_versions(client: MlflowClient) -> None:
    slot = Slot("change", "asr")
    add_version(client, slot, "k1")
    add_version(client, slot, "k2")
    set_champion(client, slot, 1, by="ann", why="first")
    registry.set_alias(client, slot, "challenger", 2)
    now = set_champion(client, slot, 2, by="bob", why="better")
    before = registry.get(client, slot, 1)
    assert (now.aliases, now.tags[Tags.PREDECESSOR], before.status) == (("champion",), "1", "retired")
    assert [(e["event"], e["by"]) for e in history(before)] == [("promoted", "ann"), ("retired", "bob")]


def test_setting_the_champion_again_changes_nothing(client: MlflowClient) -> None:
    slot = Slot("again", "asr")
    add_version(client, slot, "k1")
    first = set_champion(client, slot, 1, by="ann", why="first")
    assert set_champion(client, slot, 1, by="bob", why="again") == first


def test_a_broken_history_is_named(client: MlflowClient) -> None:
    slot = Slot("broken", "asr")
    version = add_version(client, slot, "k1", **{Tags.HISTORY: "{"})
    with pytest.raises(RegistryError, match=r"broken/asr v1: its tag elp\.history is not JSON"):
        history(version)


def test_the_candidate_is_the_newest_after_the_champion(client: MlflowClient) -> None:
    slot = Slot("candidate", "asr")
    for key in ("k1", "k2", "k3"):
        add_version(client, slot, key)
    assert getattr(registry.candidate(client, slot), "version", None) == 3
    set_champion(client, slot, 3, by="ann", why="best")
    assert registry.candidate(client, slot) is None


def test_an_alias_that_is_not_set_can_be_removed(client: MlflowClient) -> None:
    slot = Slot("remove", "asr")
    add_version(client, slot, "k1")
    registry.set_alias(client, slot, "challenger", 1)
    registry.remove_alias(client, slot, "challenger")
    registry.remove_alias(client, slot, "challenger")
    assert registry.find(client, slot, "challenger") is None
