"""An override from the request to its expiry, on a real server with a login."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.registry.signing.keys import KeyRing, load_trusted_keys
from pipelines.server.overrides.expiry import end_expired_overrides
from pipelines.server.stores.registry_store import GuardedStore
from tests.support.accounts import LoginServer
from tests.support.rest import Answer
from tests.support.versions_by_hand import API, ELP, Made, gate, promote, register

pytestmark = pytest.mark.integration

SECONDS = 1 / 86_400
"""In days, as the API counts."""
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
    assert ground.ask().status == 200
    yield ground
    ground.says("anna", "withdraw")


def test_an_override_takes_two_people_and_shows_everywhere(asked: Ground) -> None:
    assert asked.champion() == 1
    assert asked.says("berta", "approve").status == 200
    assert asked.champion() == 2
    shown = asked.version()
    assert "asked by anna, approved by berta: the line stands still" in shown["tags"]["elp.override"]
    assert shown["description"].startswith("🔴 **Override, no verdict that counts:** until ")
    assert asked.events("override asked", "overridden") == [("override asked", "anna"), ("overridden", "berta")]
    listed = asked.login.rest("dora").get(f"{ELP}/overrides")["overrides"]
    assert [r["in_force"] for r in listed if r["slot"] == asked.slot] == [True]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("anna", "anna cannot approve the override that anna asked for: it takes a second person"),
        ("an.na", "an.na cannot approve the override that anna asked for"),
        ("carl", "carl has the role trainer, and this needs promoter"),
        ("dora", "dora has the role auditor, and this needs promoter"),
    ],
)
def test_nobody_approves_their_own_nor_without_the_role(asked: Ground, name: str, said: str) -> None:
    _same_person(asked.login)
    answer = asked.says(name, "approve")
    assert answer.status == 403
    assert said in answer.message
    assert asked.champion() == 1
    assert ("refused", name) in asked.events()


def _same_person(login: LoginServer) -> None:
    """A second account of anna's, under another spelling."""
    from pipelines.registry.client import users
    from tests.support.accounts import PASSWORD

    if "an.na" not in {user.name for user in users.list_users(login.users())}:
        users.add_user(login.users(), "an.na", PASSWORD, ("promoter",))


def test_an_administrator_does_not_approve_their_own_either(ground: Ground) -> None:
    assert ground.ask("admin").status == 200
    assert "admin cannot approve the override that admin asked for" in ground.says("admin", "approve").message
    assert ground.champion() == 1
    assert ground.says("berta", "approve").status == 200


def test_it_ends_by_itself_and_the_champion_before_comes_back(ground: Ground) -> None:
    ground.ask(days=2 * SECONDS)
    ground.says("berta", "approve")
    assert ground.champion() == 2
    assert ground.until(1)
    assert ground.events()[-1] == ("override expired", "server")
    assert "elp.override" not in ground.version()["tags"]
    assert "🔴" not in ground.version()["description"]
    assert ground.version()["tags"]["elp.status"] == "retired"


def test_of_many_that_look_at_once_one_ends_it(asked: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.says("berta", "approve")
    store = _store_of(asked.login, monkeypatch)
    later = datetime.now(UTC) + timedelta(days=8)
    with ThreadPoolExecutor(4) as threads:
        ended = [
            request
            for done, _ in threads.map(lambda _: end_expired_overrides(store, later), range(8))
            for request in done
        ]
    assert [request.version for request in ended if request.slot == asked.slot] == [2]
    assert asked.events("override expired") == [("override expired", "server")]
    assert asked.champion() == 1


def test_before_its_time_nothing_ends(asked: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.says("berta", "approve")
    ended, following = end_expired_overrides(
        _store_of(asked.login, monkeypatch), datetime.now(UTC) + timedelta(days=6, hours=23)
    )
    assert ended == []
    assert following is not None
    assert asked.champion() == 2


def _store_of(login: LoginServer, monkeypatch: pytest.MonkeyPatch) -> GuardedStore:
    """The server's own database, opened by this process too."""
    from mlflow.server import handlers

    server = login.guarded
    monkeypatch.setenv("ELP_KEYS", str(server.keys))
    monkeypatch.setenv("ELP_LEDGER_CHECKPOINT", str(server.anchor))
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", f"elp+file://{server.artifacts}")
    monkeypatch.setattr(handlers, "_artifact_repo", None)
    return GuardedStore("elp+" + server.database)


def test_where_there_was_no_champion_there_is_none_afterwards(login: LoginServer) -> None:
    ground = _prepare(login, first=False)
    ground.ask(days=2 * SECONDS)
    ground.says("berta", "approve")
    assert ground.champion() == 2
    assert ground.until(None)
    assert ground.events()[-1] == ("override expired", "server")


def test_a_promotion_meanwhile_replaces_it_for_good(ground: Ground) -> None:
    v3 = register(ground.login.rest("emil"), ground.v1.model, f"{ground.slot}-3", lineage=ground.keys)
    ground.ask(days=4 * SECONDS)
    ground.says("berta", "approve")
    gate(ground.login.rest("emil"), v3, "passed", ground.v2, ground.keys)
    assert ground.says("anna", "promote", version=3).status == 200
    assert "elp.override" not in ground.version()["tags"]
    time.sleep(4)
    assert ground.champion() == 3
    assert ground.events("override expired") == []
    assert ground.says("anna", "rollback").status == 200
    assert ground.champion() == 1


def test_withdrawn_in_force_it_ends_early(asked: Ground) -> None:
    asked.says("berta", "approve")
    assert asked.says("carl", "withdraw").status == 403
    assert asked.says("berta", "withdraw", reason="the line runs").status == 200
    assert asked.champion() == 1
    assert asked.events()[-2:] == [("override withdrawn", "berta"), ("rolled back", "berta")]


def test_withdrawn_before_anybody_approved_nothing_moves(asked: Ground) -> None:
    assert asked.says("anna", "withdraw").status == 200
    assert asked.events()[-1] == ("override withdrawn", "anna")
    assert "no override" in asked.says("berta", "approve").message
    assert asked.champion() == 1


def test_a_wish_that_the_champion_has_overtaken_cannot_be_approved(asked: Ground) -> None:
    v3 = register(asked.login.rest("emil"), asked.v1.model, f"{asked.slot}-3", lineage=asked.keys)
    gate(asked.login.rest("emil"), v3, "passed", asked.v1, asked.keys)
    assert asked.says("anna", "promote", version=3).status == 200
    assert "no override" in asked.says("berta", "approve").message
    assert asked.champion() == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"version": 1}, "is the champion already"),
        ({"reason": "   "}, "lacks reason|say why"),
        ({"days": 0}, "an override lasts more than 0 and at most 31 days: --days 7"),
        ({"days": 32}, "an override lasts more than 0 and at most 31 days"),
        ({"days": "7"}, "days: expected a number"),
        ({"days": float("nan")}, "days: expected a number|no JSON"),
        ({"version": 9}, "not found"),
    ],
)
def test_a_wish_that_is_none_is_refused(ground: Ground, values: dict[str, Any], said: str) -> None:
    import re

    answer = ground.says("anna", "override", **{"version": 2, "reason": "r", "days": 7, **values})
    assert answer.status in (400, 403, 404)
    assert re.search(said, answer.message)


def test_what_may_be_promoted_needs_no_override(ground: Ground) -> None:
    gate(ground.login.rest("emil"), ground.v2, "passed", ground.v1, ground.keys)
    assert "passed and needs no override; promote it: elp promote" in ground.ask().message


def test_one_at_a_time(asked: Ground) -> None:
    assert f"has an override asked for by anna; end it first: elp withdraw {asked.slot}" in asked.ask("berta").message


def test_the_bundle_is_demanded_of_an_override_too(asked: Ground) -> None:
    weights = asked.login.guarded.artifacts / asked.v2.tensors
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    answer = asked.says("berta", "approve")
    assert answer.status == 403
    assert "cannot serve" in answer.message or "were changed" in answer.message
    assert asked.champion() == 1


def test_what_comes_back_is_not_deleted_and_the_red_line_stays(asked: Ground) -> None:
    asked.says("berta", "approve")
    emil = asked.login.rest("emil")
    deleted = emil("DELETE", f"{API}/model-versions/delete", {"name": asked.v1.model, "version": "1"})
    assert "comes back when the override of v2 ends" in deleted.message
    described = {"name": asked.v1.model, "version": "2", "description": "all is well"}
    assert "reports its override" in emil("PATCH", f"{API}/model-versions/update", described).message


def test_where_the_champion_before_is_damaged_nobody_serves_and_the_ledger_says_why(asked: Ground) -> None:
    asked.says("berta", "approve")
    weights = asked.login.guarded.artifacts / asked.v1.tensors
    weights.write_bytes(weights.read_bytes()[:-1])
    assert asked.says("berta", "withdraw").status == 200
    assert asked.champion() is None
    last = asked.login.rest("dora").get(f"{ELP}/ledger?slot={asked.slot.replace('/', '%2F')}&limit=1000")["entries"][-1]
    assert last["entry"]["event"] == "retired"
    assert "v1 were changed" in last["entry"]["detail"]["fault"]


def test_mlflows_own_route_names_the_user_in_the_ledger(ground: Ground) -> None:
    gate(ground.login.rest("emil"), ground.v2, "passed", ground.v1, ground.keys)
    values = {"name": ground.v1.model, "alias": "champion", "version": "2"}
    assert ground.login.rest("anna")("POST", f"{API}/registered-models/alias", values).status == 200
    assert ground.events()[-1] == ("promoted", "anna")
    carl = ground.login.rest("carl")("POST", f"{API}/registered-models/alias", {**values, "version": "1"})
    assert "carl has the role trainer, and this needs promoter" in carl.message
    assert ground.champion() == 2


def test_a_name_in_the_body_does_not_stand_for_the_login(ground: Ground) -> None:
    assert ground.says("anna", "retire", reason="over", by="berta").status == 200
    assert ground.events()[-1] == ("retired", "anna")


def test_an_approval_is_about_the_bundle_that_was_asked_for(login: LoginServer) -> None:
    ground, emil = _prepare(login, first=False), login.rest("emil")
    assert ground.ask(version=1).status == 200
    assert emil("DELETE", f"{API}/registered-models/delete", {"name": ground.v1.model}).status == 200
    again = register(emil, ground.v1.model, f"{ground.slot}-other", lineage=ground.keys)
    assert (again.version, again.bundle != ground.v1.bundle) == (1, True)
    answer = ground.says("berta", "approve")
    assert (answer.status, ground.champion()) == (403, None)
    assert "the override was asked for the bundle" in answer.message
