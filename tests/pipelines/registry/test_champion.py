from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.errors import GateRefused, RegistryError
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import server_api as guard
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import change_champion, promote_version
from pipelines.registry.policies import GatePolicy, policy_digest
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Outcome
from tests.support.bundles import add_bundle
from tests.support.versions import make_champion, record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

LIMITS = policy_digest(GatePolicy())
pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture
def options(mlflow_uri: str) -> dict[str, Any]:
    return {"mlflow_uri": mlflow_uri, "policy": LIMITS, "by": "ann", "log": lambda line: None}


@pytest.fixture
def add(client: MlflowClient, tmp_path: Path) -> Callable[[Slot, str], AdapterVersion]:
    return lambda slot, key: add_bundle(client, slot, key, tmp_path)


Add = Callable[[Slot, str], AdapterVersion]


def test_champions_follow_each_other_and_come_back(client: MlflowClient, add: Add, options: dict[str, Any]) -> None:
    slot, uri = Slot("life", "asr"), options["mlflow_uri"]
    first = record_verdict(client, add(slot, "k1"))
    assert first.aliases == ("challenger",)
    assert promote_version(slot, **options).previous is None
    record_verdict(client, add(slot, "k2"), against=first)
    assert (promote_version(slot, 2, **options).previous, promote_version(slot, 2, **options).changed) == (1, False)
    assert change_champion(uri, "rollback", slot, by="ann", reason="noise").version == 1
    assert [v.status for v in registry.list_versions(client, slot)] == ["retired", "champion"]
    with pytest.raises(GateRefused, match=r"life/asr v2 was rolled back at .* by ann \(noise\).*--again"):
        promote_version(slot, 2, **options)
    assert promote_version(slot, 2, again=True, **options).changed
    assert change_champion(uri, "rollback", slot).version == 1
    with pytest.raises(GateRefused, match=r"life/asr v1 is the slot's first champion"):
        change_champion(uri, "rollback", slot)


def test_a_slot_is_retired_and_a_former_champion_comes_back(
    client: MlflowClient, add: Add, options: dict[str, Any]
) -> None:
    slot, uri = Slot("retired", "asr"), options["mlflow_uri"]
    make_champion(client, add(slot, "k1"))
    done = change_champion(uri, "retire", slot, reason="the line was closed")
    assert (done.version, done.previous, registry.find_champion(client, slot)) == (None, 1, None)
    with pytest.raises(GateRefused, match="retired/asr has no champion to retire"):
        change_champion(uri, "retire", slot, reason="again")
    with pytest.raises(GateRefused, match="judged as a first version, but retired/asr had a champion since"):
        promote_version(slot, 1, **options)
    assert change_champion(uri, "rollback", slot, version=1).version == 1
    events = [entry.event for entry in guard.ledger_entries(uri, slot)]
    assert events == ["registered", "gated", "promoted", "retired", "refused", "refused", "rolled back"]


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("failed", "verdict is failed"),
        ("undecided", "verdict is undecided"),
        ("", "was never gated; gate it: elp gate"),
    ],
)
def test_what_did_not_pass_is_refused(
    client: MlflowClient, add: Add, options: dict[str, Any], verdict: Outcome, reason: str
) -> None:
    slot = Slot(f"refused-{verdict or 'none'}", "asr")
    version = add(slot, "k1")
    if verdict:
        record_verdict(client, version, verdict)
    with pytest.raises(GateRefused, match=reason):
        promote_version(slot, 1, **options)
    assert registry.find_champion(client, slot) is None


def test_a_verdict_against_another_champion_is_stale(client: MlflowClient, add: Add, options: dict[str, Any]) -> None:
    slot = Slot("stale", "asr")
    record_verdict(client, add(slot, "k1"))
    make_champion(client, add(slot, "k2"))
    with pytest.raises(GateRefused, match=r"passed against no champion, but now there is v2 .*; gate it again"):
        promote_version(slot, 1, **options)


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({"golden": "golden/x/asr/v2"}, "passed on golden/x/asr/v1, but golden/x/asr/v2 is pinned now"),
        ({"policy": policy_digest(GatePolicy(limit=0.2))}, "passed under other limits than elp.yaml has now"),
    ],
)
def test_a_verdict_on_other_terms_is_refused(
    client: MlflowClient, add: Add, options: dict[str, Any], over: dict[str, Any], reason: str
) -> None:
    slot = Slot(f"terms-{len(over.get('golden', ''))}", "asr")
    record_verdict(client, add(slot, "k1"))
    with pytest.raises(GateRefused, match=reason):
        promote_version(slot, 1, **{**options, **over})


def test_without_a_challenger_the_next_step_is_told(client: MlflowClient, add: Add, options: dict[str, Any]) -> None:
    slot, uri = Slot("nothing", "asr"), options["mlflow_uri"]
    add(slot, "k1")
    with pytest.raises(
        RegistryError, match="has no challenger to promote; gate a candidate first: elp gate nothing/asr"
    ):
        promote_version(slot, **options)
    with pytest.raises(GateRefused, match="has no champion to roll back from"):
        change_champion(uri, "rollback", slot)
