"""MLflow's runs and logged models without a version: old ones go by policy, and whatever a version needs stays."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.registry.retention import POLICY_VARIABLE
from tests.support.contest import FAILED, UNGATED, Contest, prepare
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.versions_by_hand import API, ELP, upload

pytestmark = pytest.mark.integration

_numbers = itertools.count(1)
POLICY = {"grace_days": 0, "trash_days": 0, "keep_last": 0, "runs_days": 90}
LONG_AGO = int((time.time() - 100 * 86_400) * 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with guarded_server(tmp_path_factory.mktemp("runs"), environment={POLICY_VARIABLE: json.dumps(POLICY)}) as one:
        yield one


@dataclass(frozen=True)
class Ground:
    """A slot with versions in every state; everything of it can be made old."""

    contest: Contest

    @property
    def experiment(self) -> str:
        return self.contest.made[FAILED].folder.split("/")[0]

    def run(self, status: str = "FAILED", experiment: str = "", **tags: str) -> str:
        """Make a run with an artifact."""
        place = experiment or self.experiment
        body = {"experiment_id": place, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        made = self.contest.rest.post(f"{API}/runs/create", body)["run"]["info"]
        if status != "RUNNING":
            ended = {"status": status, "end_time": int(time.time() * 1000)}
            self.contest.rest.post(f"{API}/runs/update", {"run_id": made["run_id"], **ended})
        upload(self.contest.rest, f"{place}/{made['run_id']}/artifacts/report/x.txt", b"x")
        return str(made["run_id"])

    def model(self) -> str:
        """Make a logged model whose upload was cut off."""
        body = {"experiment_id": self.experiment, "name": "adapter"}
        made = self.contest.rest.post(f"{API}/logged-models", body)["model"]["info"]["model_id"]
        upload(self.contest.rest, f"{self.experiment}/models/{made}/artifacts/MLmodel", b"x")
        return str(made)

    def age(self) -> None:
        """Make every run and every model of the server old."""
        with closing(sqlite3.connect(self.contest.server.database.removeprefix("sqlite:///"))) as rows, rows:
            rows.execute("UPDATE runs SET start_time = ?, end_time = ?", (LONG_AGO, LONG_AGO))
            rows.execute("UPDATE runs SET deleted_time = ? WHERE deleted_time IS NOT NULL", (LONG_AGO,))
            rows.execute("UPDATE logged_models SET last_updated_timestamp_ms = ?", (LONG_AGO,))

    def sweep(self) -> dict[str, Any]:
        found: dict[str, Any] = {"runs": [], "models": []}
        while any((done := self.contest.rest.post(f"{ELP}/sweep-runs", {})).values()):
            found = {name: found[name] + done[name] for name in found}
        return found

    def has_run(self, run_id: str) -> bool:
        return self.contest.rest("GET", f"{API}/runs/get?run_id={run_id}").status == 200

    def stored(self, run_id: str) -> list[str]:
        return sorted(
            path.name for path in self.contest.server.artifacts.rglob("*") if path.is_file() and run_id in str(path)
        )


@pytest.fixture
def ground(server: GuardedServer) -> Ground:
    return Ground(prepare(server, f"runs-{next(_numbers)}"))


def test_failed_trainings_and_cut_off_uploads_go_when_they_are_old(ground: Ground) -> None:
    failed, dead, model = ground.run(), ground.run("RUNNING"), ground.model()
    assert ground.sweep() == {"runs": [], "models": []}
    ground.age()
    counted = ground.contest.rest.get(f"{ELP}/retention")["unregistered"]
    assert (counted["runs"] >= 2, counted["models"] >= 1) == (True, True)
    done = ground.sweep()
    assert ({failed, dead} <= set(done["runs"]), model in done["models"]) == (True, True)
    assert [ground.has_run(one) for one in (failed, dead)] == [False, False]
    assert [ground.stored(one) for one in (failed, dead, model)] == [[], [], []]
    # nothing of a version went with them
    assert not ground.contest.changed()
    assert all(ground.has_run(made.run_id) for made in ground.contest.made.values())
    entries = ground.contest.rest.get(f"{ELP}/ledger?event=trash%20emptied&limit=1000")["entries"]
    assert any(failed in row["entry"]["detail"].get("runs", ()) for row in entries)
    assert ground.sweep() == {"runs": [], "models": []}


def test_what_a_training_uses_now_stays(ground: Ground) -> None:
    slot, now = ground.contest.slot, str(int(time.time() * 1000))
    again = ground.run("RUNNING", **{"elp.opened": now, "elp.dataset": f"data/{slot}/v1"})
    for number, opened in ((2, str(LONG_AGO)), (3, "9" * 5000), (4, "")):
        tags = {"elp.opened": opened} if opened else {}
        ground.run("RUNNING", **tags, **{"elp.dataset": f"data/{slot}/v{number}"})
    own = ground.run(
        experiment=str(ground.contest.rest.post(f"{API}/experiments/create", {"name": "mine"})["experiment_id"])
    )
    ground.age()
    in_use = ground.contest.rest.get(f"{ELP}/retention")["datasets_in_use"]
    assert [tag for tag in in_use if tag.startswith(f"data/{slot}/")] == [f"data/{slot}/v1"]
    done = ground.sweep()
    # an attempt of today in a run that began long ago, and the run of a person's own experiment
    assert not {again, own} & set(done["runs"])
    ground.contest.rest.post(f"{API}/runs/delete", {"run_id": own})
    assert own not in ground.sweep()["runs"]
    ground.age()
    # deleted in MLflow, its time is over
    assert own in ground.sweep()["runs"]


def test_the_trash_and_the_evidence_keep_their_runs(ground: Ground) -> None:
    made = ground.contest.made
    wanted = [{"slot": ground.contest.slot, "version": one, "bundle": made[one].bundle} for one in (FAILED, UNGATED)]
    ground.contest.rest.post(f"{ELP}/trash", {"versions": wanted})
    ground.age()
    done = ground.sweep()
    assert not {made[one].run_id for one in (FAILED, UNGATED)} & set(done["runs"])
    assert not {made[one].model_id for one in (FAILED, UNGATED)} & set(done["models"])
    while ground.contest.rest.post(f"{ELP}/empty-trash", {})["emptied"]:
        continue
    # by hand, past the retention: the evidence of a signed verdict is in the run
    ground.contest.rest.post(f"{API}/runs/delete", {"run_id": made[FAILED].run_id})
    ground.age()
    assert made[FAILED].run_id not in ground.sweep()["runs"]
    assert (ground.contest.server.artifacts / made[FAILED].evidence).is_file()
