"""No sequence of requests to a real server, a greedy gc among them, loses the bytes of what is reachable."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from pipelines.registry.retention import POLICY_VARIABLE
from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.rest import Rest
from tests.support.versions_by_hand import API, ELP, Made, gate, register

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]

UNTIL = "2099-01-01T00:00:00+00:00"
PICK = st.integers(0, 10**6)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """Nothing is too young for it."""
    policy = json.dumps({"grace_days": 0, "trash_days": 0, "keep_last": 0})
    with guarded_server(tmp_path_factory.mktemp("sequences"), environment={POLICY_VARIABLE: policy}) as running:
        yield running


class Requests(RuleBasedStateMachine):
    """One slot; what is true of it is kept next to the server."""

    server: GuardedServer

    def __init__(self) -> None:
        super().__init__()
        self.rest, self.keys = Rest(self.server.uri), load_trusted_keys(self.server.keys)
        self.model = f"elp.sequence-{next(_numbers)}.asr"
        self.made: dict[int, Made] = {}
        self.parent: dict[int, int] = {}
        """Of each version that started from another one."""
        self.champions: list[int] = []
        """Every version that was champion, the present one last."""
        self.holds: dict[int, int] = {}
        """The held version, by the hold's number."""
        self.trash: set[int] = set()
        self.gone: set[int] = set()
        self.by_hand: set[int] = set()
        self.gated: set[int] = set()

    @property
    def slot(self) -> str:
        return self.model.removeprefix("elp.").replace(".", "/")

    def _there(self) -> list[int]:
        return sorted(self.made.keys() - self.trash - self.gone)

    def _one(self, pick: int) -> Made:
        return self.made[self._there()[pick % len(self._there())]]

    def _say(self, verb: str, **values: Any) -> Any:
        return self.rest("POST", f"{ELP}/{verb}", values)

    @rule(pick=PICK, grown=st.booleans())
    def register(self, pick: int, grown: bool) -> None:
        self._register(self._one(pick) if grown and self._there() else None)

    @precondition(lambda self: self.trash)
    @rule(pick=PICK)
    def train_from_the_trash(self, pick: int) -> None:
        """A training ends whose start went to the trash meanwhile, just before the trash is emptied."""
        self._register(self.made[sorted(self.trash)[pick % len(self.trash)]])
        self.empty()

    def _register(self, parent: Made | None) -> None:
        mark, bundle = f"{self.model}-{len(self.made)}", parent.bundle if parent else ""
        made = register(self.rest, self.model, mark, lineage=self.keys, parent=bundle)
        self.made[made.version] = made
        if parent:
            self.parent[made.version] = parent.version

    @precondition(lambda self: self._there())
    @rule(pick=PICK, passed=st.booleans())
    def gate(self, pick: int, passed: bool) -> None:
        against = self.made[self.champions[-1]] if self.champions else None
        one = self._one(pick)
        # once: its evidence is frozen from then on
        if against is not one and one.version not in self.gated:
            self.gated.add(one.version)
            gate(self.rest, one, "passed" if passed else "failed", against, self.keys)

    @precondition(lambda self: self._there())
    @rule(pick=PICK)
    def promote(self, pick: int) -> None:
        done = self._say("promote", slot=self.slot, version=self._one(pick).version)
        if done.status == 200 and done.json["changed"]:
            self.champions.append(done.json["version"])

    @precondition(lambda self: len(self.champions) > 1)
    @rule()
    def roll_back(self) -> None:
        done = self._say("rollback", slot=self.slot, reason="x")
        if done.status == 200:
            self.champions.append(done.json["version"])

    @precondition(lambda self: self._there())
    @rule(pick=PICK)
    def hold(self, pick: int) -> None:
        version = self._one(pick).version
        done = self._say("hold", subject=f"{self.slot}@v{version}", until=UNTIL, reason="x")
        self.holds[done.json["number"]] = version

    @precondition(lambda self: self.holds)
    @rule(pick=PICK)
    def end_hold(self, pick: int) -> None:
        number = sorted(self.holds)[pick % len(self.holds)]
        assert self._say("end-hold", hold=number, reason="x").status == 200
        del self.holds[number]

    @precondition(lambda self: self._there())
    @rule()
    def collect(self) -> None:
        """Ask for everything, one by one: the server decides."""
        for version in self._there():
            wanted = [{"slot": self.slot, "version": version, "bundle": self.made[version].bundle}]
            if self._say("trash", versions=wanted).status == 200:
                self.trash.add(version)

    @precondition(lambda self: self._there())
    @rule(pick=PICK)
    def delete_in_mlflow(self, pick: int) -> None:
        """By hand: a person may delete even a former champion, which is not what is tried here."""
        version = self._one(pick).version
        if version in self.champions:
            return
        body = {"name": self.model, "version": str(version)}
        if self.rest("DELETE", f"{API}/model-versions/delete", body).status == 200:
            self.gone.add(version)
            self.by_hand.add(version)

    @precondition(lambda self: self.trash)
    @rule(pick=PICK, every=st.booleans())
    def undo(self, pick: int, every: bool) -> None:
        back = set(self.trash) if every else {sorted(self.trash)[pick % len(self.trash)]}
        one = {} if every else {"version": min(back)}
        assert self._say("restore", slot=self.slot, **one).status == 200
        self.trash -= back

    @precondition(lambda self: self.trash)
    @rule(pick=PICK)
    def train_again(self, pick: int) -> None:
        """The training of a version in the trash is tried again: that version comes back, and no second one is made."""
        made = self.made[sorted(self.trash)[pick % len(self.trash)]]
        body = {"name": made.model, "source": f"models:/{made.model_id}", "run_id": made.run_id}
        tags = [{"key": "elp.key", "value": f"{self.model}-{made.version - 1}"}]
        answer = self.rest("POST", f"{API}/model-versions/create", {**body, "model_id": made.model_id, "tags": tags})
        assert answer.status == 400, answer.text
        self.trash.discard(made.version)

    @rule()
    def sweep_runs(self) -> None:
        """Everything is old, a failed training among it."""
        experiment = self.rest("GET", f"{API}/experiments/get-by-name?experiment_name={self.model}")
        if experiment.status == 200:
            body = {"experiment_id": experiment.json["experiment"]["experiment_id"]}
            failed = self.rest.post(f"{API}/runs/create", body)["run"]["info"]["run_id"]
            with closing(sqlite3.connect(self.server.database.removeprefix("sqlite:///"))) as rows, rows:
                rows.execute("UPDATE runs SET start_time = 1, end_time = 1")
                rows.execute("UPDATE logged_models SET last_updated_timestamp_ms = 1")
            while any((done := self._say("sweep-runs").json).values()):
                assert failed in done["runs"]
            assert self.rest("GET", f"{API}/runs/get?run_id={failed}").status == 404

    @invariant()
    def no_training_has_two_versions(self) -> None:
        found = self.rest("GET", f"{API}/model-versions/search?filter=name%3D'{self.model}'&max_results=100").json
        keys = [
            tag["value"] for one in found.get("model_versions", ()) for tag in one["tags"] if tag["key"] == "elp.key"
        ]
        assert len(keys) == len(set(keys))

    @rule()
    def empty(self) -> None:
        while emptied := self._say("empty-trash").json["emptied"]:
            went = {one["version"] for one in emptied if one["slot"] == self.slot}
            assert went <= self.trash
            self.gone |= went
            self.trash -= went

    def _has_bytes(self, version: int) -> bool:
        folder = self.server.artifacts / self.made[version].folder
        return (folder / "artifacts" / "bundle" / "adapter_model.safetensors").is_file()

    @invariant()
    def what_is_reachable_has_its_bytes(self) -> None:
        kept = {*self.champions, *self.holds.values()}
        assert not kept & (self.trash | self.gone), f"{kept & (self.trash | self.gone)} are reachable and were removed"
        for version in {*kept, *self.trash, *self._there()}:
            assert self._has_bytes(version)

    @invariant()
    def so_have_its_parents(self) -> None:
        for version in {*self.champions, *self.holds.values(), *self._there()}:
            while version := self.parent.get(version, 0):
                assert version in self.by_hand or self._has_bytes(version), f"v{version} is a parent and lost its bytes"

    @invariant()
    def the_alias_is_as_the_ledger_says(self) -> None:
        found = self.rest("GET", f"{API}/registered-models/alias?name={self.model}&alias=champion")
        serving = int(found.json["model_version"]["version"]) if found.status == 200 else None
        assert serving == (self.champions[-1] if self.champions else None)


def test_no_sequence_loses_what_is_reachable(server: GuardedServer) -> None:
    Requests.server = server
    # a failure is reported as it was found: to shrink it takes minutes on a real server
    phases, checks = (Phase.explicit, Phase.generate), list(HealthCheck)
    examples = settings(
        max_examples=8,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=checks,
        phases=phases,
        database=None,
    )
    run_state_machine_as_test(Requests, settings=examples)
