"""An override from the request to its expiry, on a real server with a login."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.registry.client import users
from pipelines.registry.signing.keys import KeyRing, load_trusted_keys
from pipelines.server.overrides import end_expired_overrides
from pipelines.server.stores.registry_store import GuardedStore
from tests.support.login_server import PASSWORD, LoginServer
from tests.support.rest import Answer
from tests.support.versions_by_hand import API, ELP, Made, gate, lineage_of, promote, register, state

pytestmark = pytest.mark.integration

SECONDS = 1 / 86_400
"""In days, as the API counts."""
IN_EIGHT_DAYS = datetime.now(UTC) + timedelta(days=8)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ground:
    """A slot with a champion, v1, and what the gate refused or has not seen, v2."""

    login: LoginServer
    keys: KeyRing
    v1: Made
    v2: Made

    @property
    def slot(self) -> str:
        return self.v1.slot

    def says(self, name: str, verb: str, **values: Any) -> Answer:
        return self.login.rest(name)("POST", f"{ELP}/{verb}", {"slot": self.slot, **values})

    def ask(self, name: str = "anna", days: float = 7, version: int = 2) -> Answer:
        return self.says(name, "override", version=version, reason="the line stands still", days=days)

    def champion(self) -> int | None:
        answer = self.login.rest("dora")("GET", f"{API}/registered-models/alias?name={self.v1.model}&alias=champion")
        return int(answer.json["model_version"]["version"]) if answer.status == 200 else None

    def version(self, number: int = 2) -> dict[str, Any]:
        found = self.login.rest("dora").get(f"{API}/model-versions/get?name={self.v1.model}&version={number}")
        shown: dict[str, Any] = found["model_version"]
        return {**shown, "tags": {tag["key"]: tag["value"] for tag in shown.get("tags", [])}}

    def events(self, *wanted: str) -> list[tuple[str, str]]:
        rows = self.login.rest("dora").get(f"{ELP}/ledger?slot={self.slot.replace('/', '%2F')}&limit=1000")["entries"]
        found = [(row["entry"]["event"], row["entry"]["who"]["name"]) for row in rows]
        return [pair for pair in found if not wanted or pair[0] in wanted]

    def until(self, champion: int | None, seconds: float = 20.0) -> bool:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if self.champion() == champion:
                return True
            time.sleep(0.1)
        return False


def _prepare(login: LoginServer, first: bool = True) -> Ground:
    keys, model = load_trusted_keys(login.guarded.keys), f"elp.site-{next(_numbers)}.asr"
    emil = login.rest("emil")
    v1, v2 = (register(emil, model, f"{model}-{mark}", lineage=keys) for mark in (1, 2))
    if first:
        gate(emil, v1, "passed", None, keys)
        promote(emil, v1)
    return Ground(login, keys, v1, v2)


@pytest.fixture
def ground(login: LoginServer) -> Ground:
    return _prepare(login)


@pytest.fixture
def asked(ground: Ground) -> Iterator[Ground]:
    ground.ask().must_be(200)
    yield ground
    ground.says("anna", "withdraw")


@pytest.fixture
def in_force(asked: Ground) -> Ground:
    asked.says("berta", "approve").must_be(200)
    assert asked.champion() == 2
    return asked


def test_an_override_takes_two_people_and_every_page_shows_it(asked: Ground) -> None:
    assert asked.champion() == 1
    asked.says("berta", "approve").must_be(200)
    assert asked.champion() == 2
    shown = asked.version()
    assert "asked by anna, approved by berta: the line stands still" in shown["tags"]["elp.override"]
    assert shown["description"].startswith("🔴 **Override, no verdict that counts:** until ")
    assert asked.events("override asked", "overridden") == [("override asked", "anna"), ("overridden", "berta")]
    listed = asked.login.rest("dora").get(f"{ELP}/overrides")["overrides"]
    assert [r["in_force"] for r in listed if r["slot"] == asked.slot] == [True]


def test_an_override_of_a_licence_names_it_on_every_page(ground: Ground) -> None:
    fault = "its backbone facebook/mms-1b has no recorded licence and was published under CC-BY-NC-4.0"
    emil, plain = ground.login.rest("emil"), lineage_of(ground.v2)
    backbone = replace(plain.material("backbone"), uri="facebook/mms-1b")
    others = (one for one in plain.materials if one.name != "backbone")
    # a newer lineage of the same bytes
    state(emil, ground.v2, replace(plain, materials=(*others, backbone)).payload, ground.keys, "lineage")
    gate(emil, ground.v2, "passed", ground.v1, ground.keys)
    ground.says("emil", "promote", version=2, reason="it passed").must_be(403, fault)
    ground.ask().must_be(200)
    ground.says("berta", "approve").must_be(200)
    assert ground.champion() == 2
    shown = ground.version()
    assert f"the line stands still [{fault}" in shown["tags"]["elp.override"]
    assert fault in shown["description"].partition("\n\n")[0]
    ground.says("anna", "withdraw").must_be(200)
    assert ground.champion() == 1


def test_the_person_who_asked_cannot_approve_nor_a_user_without_the_role(asked: Ground) -> None:
    # a second account of anna's, under another spelling
    users.add_user(asked.login.users(), "an.na", PASSWORD, ("promoter",))
    for name, sentence in (
        ("anna", "anna cannot approve the override that anna asked for: it takes a second person"),
        ("an.na", "an.na cannot approve the override that anna asked for"),
        ("carl", "carl has the role trainer, and this needs promoter"),
        ("dora", "dora has the role auditor, and this needs promoter"),
    ):
        asked.says(name, "approve").must_be(403, sentence)
        assert asked.events()[-1] == ("refused", name)
    assert asked.champion() == 1


def test_an_administrator_cannot_approve_their_own_request(ground: Ground) -> None:
    ground.ask("admin").must_be(200)
    ground.says("admin", "approve").must_be(403, "admin cannot approve the override that admin asked for")
    assert ground.champion() == 1
    ground.says("berta", "approve").must_be(200)


def test_when_its_time_is_over_the_server_brings_the_champion_before_back(ground: Ground) -> None:
    ground.ask(days=SECONDS).must_be(200)
    ground.says("berta", "approve").must_be(200)
    assert ground.until(1)
    assert ground.events()[-1] == ("override expired", "server")
    assert "elp.override" not in ground.version()["tags"]
    assert "🔴" not in ground.version()["description"]
    assert ground.version()["tags"]["elp.status"] == "retired"


def test_if_several_processes_look_at_once_one_of_them_ends_it(
    in_force: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store_of(in_force.login, monkeypatch)
    ended, following = end_expired_overrides(store, datetime.now(UTC) + timedelta(days=6, hours=23))
    assert (ended, following is not None, in_force.champion()) == ([], True, 2)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: end_expired_overrides(store, IN_EIGHT_DAYS), range(8)))
    versions = [request.version for done, _ in found for request in done if request.slot == in_force.slot]
    assert versions == [2]
    assert in_force.events("override expired") == [("override expired", "server")]
    assert in_force.champion() == 1


def _store_of(login: LoginServer, monkeypatch: pytest.MonkeyPatch) -> GuardedStore:
    """The server's own database, opened by this process too."""
    from mlflow.server import handlers

    server = login.guarded
    monkeypatch.setenv("ELP_KEYS", str(server.keys))
    monkeypatch.setenv("ELP_LEDGER_CHECKPOINT", str(server.anchor))
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", f"elp+file://{server.artifacts}")
    monkeypatch.setattr(handlers, "_artifact_repo", None)
    return GuardedStore("elp+" + server.database)


def test_a_slot_without_a_champion_before_has_none_afterwards(
    login: LoginServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = _prepare(login, first=False)
    ground.ask().must_be(200)
    ground.says("berta", "approve").must_be(200)
    assert ground.champion() == 2
    end_expired_overrides(_store_of(login, monkeypatch), IN_EIGHT_DAYS)
    assert ground.champion() is None
    assert ground.events()[-1] == ("override expired", "server")


def test_a_promotion_replaces_it_for_good(in_force: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    v3 = register(in_force.login.rest("emil"), in_force.v1.model, f"{in_force.slot}-3", lineage=in_force.keys)
    gate(in_force.login.rest("emil"), v3, "passed", in_force.v2, in_force.keys)
    in_force.says("anna", "promote", version=3).must_be(200)
    assert "elp.override" not in in_force.version()["tags"]
    end_expired_overrides(_store_of(in_force.login, monkeypatch), IN_EIGHT_DAYS)
    assert in_force.champion() == 3
    assert in_force.events("override expired") == []
    in_force.says("anna", "rollback").must_be(200)
    assert in_force.champion() == 1


def test_withdrawn_in_force_it_ends_early(in_force: Ground) -> None:
    in_force.says("carl", "withdraw").must_be(403, "carl has the role trainer, and this needs promoter")
    in_force.says("berta", "withdraw", reason="the line runs").must_be(200)
    assert in_force.champion() == 1
    assert in_force.events()[-2:] == [("override withdrawn", "berta"), ("rolled back", "berta")]


def test_withdrawn_before_the_approval_it_changes_nothing(asked: Ground) -> None:
    asked.says("anna", "withdraw").must_be(200)
    assert asked.events()[-1] == ("override withdrawn", "anna")
    asked.says("berta", "approve").must_be(403, f"{asked.slot} has no override to approve; ask for one: elp promote")
    assert asked.champion() == 1


def test_a_request_made_before_the_champion_changed_cannot_be_approved(asked: Ground) -> None:
    v3 = register(asked.login.rest("emil"), asked.v1.model, f"{asked.slot}-3", lineage=asked.keys)
    gate(asked.login.rest("emil"), v3, "passed", asked.v1, asked.keys)
    asked.says("anna", "promote", version=3).must_be(200)
    asked.says("berta", "approve").must_be(403, f"{asked.slot} has no override to approve")
    assert asked.champion() == 3


def test_a_request_that_makes_no_sense_is_refused(ground: Ground) -> None:
    for values, status, sentence in (
        ({"version": 1}, 403, "v1 is the champion already"),
        ({"reason": "   "}, 403, f"say why {ground.slot} v2 is to serve without a verdict: --reason TEXT"),
        ({"days": 0}, 403, "an override lasts more than 0 and at most 31 days: --days 7"),
        ({"days": 32}, 403, "an override lasts more than 0 and at most 31 days: --days 7"),
        ({"days": "7"}, 400, "days: expected a number, got '7'"),
        ({"days": float("nan")}, 400, "days: expected a number, got 'nan'"),
        ({"version": 9}, 404, "version=9) not found"),
    ):
        answer = ground.says("anna", "override", **{"version": 2, "reason": "r", "days": 7, **values})
        answer.must_be(status, sentence)
    gate(ground.login.rest("emil"), ground.v2, "passed", ground.v1, ground.keys)
    ground.ask().must_be(403, "v2 passed and needs no override; promote it: elp promote")


def test_a_slot_has_one_request_at_a_time(asked: Ground) -> None:
    sentence = f"has an override asked for by anna; end it first: elp withdraw {asked.slot}"
    asked.ask("berta").must_be(403, sentence)


def test_an_override_needs_an_intact_bundle(asked: Ground) -> None:
    weights = asked.login.guarded.artifacts / asked.v2.tensors
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    asked.says("berta", "approve").must_be(403, "v2 were changed: they hash to sha256:")
    assert asked.champion() == 1


def test_the_version_that_returns_is_not_deleted_and_the_description_keeps_the_warning(in_force: Ground) -> None:
    emil = in_force.login.rest("emil")
    deleted = emil("DELETE", f"{API}/model-versions/delete", {"name": in_force.v1.model, "version": "1"})
    deleted.must_be(403, "comes back when the override of v2 ends")
    described = {"name": in_force.v1.model, "version": "2", "description": "all is well"}
    emil("PATCH", f"{API}/model-versions/update", described).must_be(403, "reports its override")


def test_if_the_champion_before_is_damaged_the_slot_has_none_and_the_ledger_says_why(in_force: Ground) -> None:
    weights = in_force.login.guarded.artifacts / in_force.v1.tensors
    weights.write_bytes(weights.read_bytes()[:-1])
    in_force.says("berta", "withdraw").must_be(200)
    assert in_force.champion() is None
    query = f"slot={in_force.slot.replace('/', '%2F')}&limit=1000"
    last = in_force.login.rest("dora").get(f"{ELP}/ledger?{query}")["entries"][-1]["entry"]
    assert last["event"] == "retired"
    assert "v1 were changed: they hash to sha256:" in last["detail"]["fault"]


def test_mlflows_own_route_names_the_user_in_the_ledger(ground: Ground) -> None:
    gate(ground.login.rest("emil"), ground.v2, "passed", ground.v1, ground.keys)
    values = {"name": ground.v1.model, "alias": "champion", "version": "2"}
    ground.login.rest("anna")("POST", f"{API}/registered-models/alias", values).must_be(200)
    assert ground.events()[-1] == ("promoted", "anna")
    carl = ground.login.rest("carl")("POST", f"{API}/registered-models/alias", {**values, "version": "1"})
    carl.must_be(403, "carl has the role trainer, and this needs promoter")
    assert ground.champion() == 2


def test_a_name_in_the_body_does_not_replace_the_login(ground: Ground) -> None:
    ground.says("anna", "retire", reason="over", by="berta").must_be(200)
    assert ground.events()[-1] == ("retired", "anna")


def test_an_approval_is_about_the_bundle_that_was_asked_for(login: LoginServer) -> None:
    ground, emil = _prepare(login, first=False), login.rest("emil")
    ground.ask(version=1).must_be(200)
    emil("DELETE", f"{API}/registered-models/delete", {"name": ground.v1.model}).must_be(200)
    again = register(emil, ground.v1.model, f"{ground.slot}-other", lineage=ground.keys)
    assert (again.version, again.bundle != ground.v1.bundle) == (1, True)
    ground.says("berta", "approve").must_be(403, "the override was asked for the bundle")
    assert ground.champion() is None
