from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.clients import registry
from pipelines.clients.champions import set_champion
from pipelines.clients.versions import AdapterVersion, Tags
from pipelines.errors import GateRefused, RegistryError
from pipelines.settings import Settings, Slot
from pipelines.steps.promote import promote, rollback
from tests.support.bundles import add_bundle
from tests.support.versions import add_version, record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return registry.connect(mlflow_uri)


@pytest.fixture
def options(mlflow_uri: str, tmp_path: Path) -> dict[str, Any]:
    return {"mlflow_uri": mlflow_uri, "cache": tmp_path / "cache", "by": "ann", "log": lambda line: None}


@pytest.fixture
def add(client: MlflowClient, tmp_path: Path) -> Callable[[Slot, str], AdapterVersion]:
    return lambda slot, key: add_bundle(client, slot, key, tmp_path)


Add = Callable[[Slot, str], AdapterVersion]


def test_champions_follow_each_other_and_come_back(client: MlflowClient, add: Add, options: dict[str, Any]) -> None:
    slot, settings = Slot("life", "asr"), Settings()
    first = record_verdict(client, add(slot, "k1"))
    registry.set_alias(client, slot, "challenger", first.version)
    assert promote(slot, settings, **options).previous is None
    record_verdict(client, add(slot, "k2"), against=first)
    assert (promote(slot, settings, 2, **options).previous, promote(slot, settings, 2, **options).changed) == (1, False)
    assert rollback(slot, settings, why="noise", **options).version == 1
    assert [v.status for v in registry.versions(client, slot)] == ["retired", "champion"]
    with pytest.raises(GateRefused, match=r"life/asr v2 was rolled back at .* by ann \(noise\).*--again"):
        promote(slot, settings, 2, **options)
    assert promote(slot, settings, 2, again=True, **options).changed
    with pytest.raises(RegistryError, match=r"life/asr v1 is the slot's first champion"):
        rollback(slot, settings, **options), rollback(slot, settings, **options)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("failed", "verdict is failed"),
        ("undecided", "verdict is undecided"),
        ("", "was never gated; gate it: elp gate"),
    ],
)
def test_what_did_not_pass_is_refused(client: MlflowClient, options: dict[str, Any], verdict: str, reason: str) -> None:
    slot = Slot(f"refused-{verdict or 'none'}", "asr")
    version = add_version(client, slot, "k1")
    if verdict:
        record_verdict(client, version, verdict)
    with pytest.raises(GateRefused, match=reason):
        promote(slot, Settings(), 1, **options)
    assert registry.champion(client, slot) is None


def test_a_verdict_against_another_champion_is_stale(client: MlflowClient, options: dict[str, Any]) -> None:
    slot = Slot("stale", "asr")
    record_verdict(client, add_version(client, slot, "k1"))
    add_version(client, slot, "k2")
    set_champion(client, slot, 2, by="ann", why="first")
    with pytest.raises(GateRefused, match=r"passed against no champion, but now there is v2; gate it again"):
        promote(slot, Settings(), 1, **options)


def test_a_verdict_about_another_bundle_is_refused(client: MlflowClient, options: dict[str, Any]) -> None:
    slot = Slot("swapped", "asr")
    version = record_verdict(client, add_version(client, slot, "k1"))
    registry.annotate(client, slot, version.version, {Tags.BUNDLE: "sha256:other"})
    with pytest.raises(GateRefused, match="the version now holds sha256:other"):
        promote(slot, Settings(), 1, **options)


def test_a_verdict_on_an_older_golden_set_is_refused(client: MlflowClient, options: dict[str, Any]) -> None:
    slot = Slot("golden", "asr")
    record_verdict(client, add_version(client, slot, "k1"))
    with pytest.raises(GateRefused, match="passed on golden/x/asr/v1, but golden/x/asr/v2 is pinned now"):
        promote(slot, Settings(), 1, golden="golden/x/asr/v2", **options)


def test_without_a_challenger_the_next_step_is_told(client: MlflowClient, options: dict[str, Any]) -> None:
    slot = Slot("nothing", "asr")
    add_version(client, slot, "k1")
    with pytest.raises(
        RegistryError, match="has no challenger to promote; gate a candidate first: elp gate nothing/asr"
    ):
        promote(slot, Settings(), **options)
    with pytest.raises(RegistryError, match="has no champion to roll back from"):
        rollback(slot, Settings(), **options)
