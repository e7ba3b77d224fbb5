"""A retraining that a look leads to, on a real Prefect server without workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.local.prefect_request import prefect_request
from pipelines.monitoring.look_list import monitor_folder, recorded_looks
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.monitor_retrain import retrain_facts
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion
from pipelines.registry.slot import Slot
from tests.support.scheduled_workspace import scheduled_workspace
from tests.support.watched_slot import Watched, watched_slot, write_sessions
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SLOT = Slot("renewed", "asr")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[Watched]:
    keys = os.environ["ELP_KEYS"]
    with pytest.MonkeyPatch.context() as patch:
        isolate(tmp_path_factory.mktemp("home"), patch)
        patch.setenv("ELP_KEYS", keys)
        with scheduled_workspace(tmp_path_factory.mktemp("prefect"), []) as (_, api):
            made = watched_slot(tmp_path_factory.mktemp("renewed"), mlflow_uri, SLOT, api)
            register_deployments(made.workspace, api)
            yield made


def test_a_look_starts_one_retraining_and_the_next_one_is_held_back(
    watched: Watched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(watched.workspace.root)]
    for day in (1, 2):
        sent = write_sessions(tmp_path / f"day-{day}", 10 * day, 2)
        assert run(["monitor", str(SLOT), "--from", str(sent), "--retrain", *place]) == 0
    said = capfd.readouterr().err
    assert "renewed/asr: retraining started: the champion is 0 days old, limit 0" in said
    assert "renewed/asr: retraining held back: the champion is 0 days old, limit 0; cooldown: " in said
    assert "weekly budget of the slot: 1 start, of 1" in said

    api = watched.workspace.settings.servers.prefect_api
    (asked,) = prefect_request(f"{api}/flow_runs/filter", {"flow_runs": {"tags": {"all_": [str(SLOT)]}}}, 60.0)
    assert asked["parameters"]["slot"] == str(SLOT)
    entries = list(recorded_looks(monitor_folder(watched.workspace.state, SLOT)))
    kinds = [(entry["kind"], entry.get("outcome")) for entry in entries]
    assert kinds == [("look", None), ("retrain", "started"), ("look", None), ("retrain", "held back")]
    assert asked["id"] in entries[1]["run"]

    # a week later, nothing holds it back
    look = watched.look(sent).look
    champion = find_champion(connect(watched.uri), SLOT)
    facts = retrain_facts(watched.workspace, SLOT, champion, look, datetime.now(UTC) + timedelta(days=8))
    assert (facts.slot_starts, facts.fleet_starts, facts.new_clips, facts.alarm) == (0, 0, 0, False)
    assert 7.9 < facts.days_since_start < 8.1
    assert 7.9 < facts.champion_days < 8.1
    assert run(["monitor", *place]) == 0
    assert "renewed/asr" in capfd.readouterr().out
