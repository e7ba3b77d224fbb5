"""The flow `monitor` and the retraining that a look leads to, on a real Prefect server without workers."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.cli.main import run
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.prefect_request import prefect_request
from pipelines.local.service_commands import worker_command, workspace_queue
from pipelines.local.settings import read_settings
from pipelines.local.worker_plan import plan_workers
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.monitoring.look_list import monitor_folder, recorded_looks
from pipelines.monitoring.monitor_slot import record_decision
from pipelines.monitoring.retrain_decision import RetrainDecision
from pipelines.orchestration import flows
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.monitor_retrain import retrain_facts
from pipelines.orchestration.monitor_source import audio_source
from pipelines.orchestration.monitor_tasks import look_at_site
from pipelines.orchestration.prefect_api import connect_prefect, deployment_name
from pipelines.orchestration.retrain_request import (
    ensure_retrain_automation,
    request_retraining,
    retrain_automation_name,
)
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion
from pipelines.registry.slot import Slot
from tests.docs.pages import fences
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


@pytest.fixture(autouse=True)
def _never_looked_at(watched: Watched) -> None:
    """Forget the looks and starts of other tests."""
    shutil.rmtree(monitor_folder(watched.workspace.state, SLOT), ignore_errors=True)


def _runs(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the runs of the slot, the oldest first."""
    body = {"flow_runs": {"tags": {"all_": [str(SLOT)]}}, "sort": "EXPECTED_START_TIME_ASC"}
    found: list[dict[str, Any]] = prefect_request(
        f"{workspace.settings.servers.prefect_api}/flow_runs/filter", body, 60.0
    )
    return found


def _entries(workspace: Workspace) -> list[dict[str, Any]]:
    return list(recorded_looks(monitor_folder(workspace.state, SLOT)))


def test_a_look_starts_one_retraining_by_an_automation_and_the_next_one_is_held_back(
    watched: Watched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place, before = ["-w", str(watched.workspace.root)], len(_runs(watched.workspace))
    for day in (1, 2):
        sent = write_sessions(tmp_path / f"day-{day}", 10 * day, 2)
        assert run(["monitor", str(SLOT), "--from", str(sent), "--retrain", *place]) == 0
    said = capfd.readouterr().err
    assert "renewed/asr: retraining started: the champion is 0 days old, limit 0" in said
    assert "renewed/asr: retraining held back: the champion is 0 days old, limit 0; cooldown: " in said
    assert "weekly budget of the slot: 1 start, of 1" in said

    (asked,) = _runs(watched.workspace)[before:]
    assert asked["parameters"]["slot"] == str(SLOT)
    assert asked["created_by"]["type"] == "AUTOMATION"
    assert asked["created_by"]["display_value"] == retrain_automation_name(watched.workspace)
    entries = _entries(watched.workspace)
    kinds = [(entry["kind"], entry.get("outcome")) for entry in entries]
    assert kinds == [("look", None), ("retrain", "started"), ("look", None), ("retrain", "held back")]
    assert asked["id"] in entries[1]["run"]

    # every decision is on the slot's page, with the run that it started
    page = requests.get(f"{watched.uri}/elp/slots/{SLOT}", timeout=60).text
    assert "started: the champion is 0 days old, limit 0" in page
    assert "held back: the champion is 0 days old, limit 0; cooldown: " in page
    assert asked["id"] in page

    # a week later, nothing holds it back
    look = watched.look(sent).look
    champion = find_champion(connect(watched.uri), SLOT)
    facts = retrain_facts(watched.workspace, SLOT, champion, look, datetime.now(UTC) + timedelta(days=8))
    assert (facts.slot_starts, facts.fleet_starts, facts.new_clips, facts.alarm) == (0, 0, 0, False)
    assert 7.9 < facts.days_since_start < 8.1
    assert 7.9 < facts.champion_days < 8.1
    assert run(["monitor", *place]) == 0
    assert "renewed/asr" in capfd.readouterr().out


def test_a_paused_automation_holds_back_and_a_request_without_a_run_is_asked_again(watched: Watched) -> None:
    workspace, wanted = watched.workspace, RetrainDecision("started", ("it is time",))
    before = len(_runs(workspace))
    with connect_prefect(workspace) as client:
        automation = ensure_retrain_automation(client, workspace)
        client.pause_automation(automation.id)
    try:
        made = request_retraining(workspace, SLOT, wanted)
        assert (made.decision.outcome, made.run) == ("held back", "")
        assert made.decision.reasons[-1].endswith("after a look of the monitor' is paused in Prefect")
    finally:
        with connect_prefect(workspace) as client:
            client.resume_automation(automation.id)
    assert len(_runs(workspace)) == before
    # nobody waits for the run
    made = request_retraining(workspace, SLOT, wanted, patience=-1.0)
    assert (made.decision.outcome, made.run) == ("asked", "")
    assert made.decision.reasons[-1].startswith("no run was seen within")
    watched.look(write_sessions(workspace.root.parent / "more", 90, 1))
    record_decision(monitor_folder(workspace.state, SLOT), SLOT, made.decision, made.run)
    champion, look = find_champion(connect(watched.uri), SLOT), watched.look(workspace.root.parent / "more").look
    now = datetime.now(UTC)
    today, later = (
        retrain_facts(workspace, SLOT, champion, look, now + timedelta(days=days)).days_since_start for days in (0, 2)
    )
    # it counts for a day only
    assert today < 0.01
    assert later is None or later > 1.9


def test_the_flow_looks_at_what_its_site_sends_and_decides(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, api = watched.workspace.root, watched.workspace.settings.servers.prefect_api
    settings = root / "elp.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("block_clips: 2", f'block_clips: 2, source: "{tmp_path}/sent/{{site}}/{{task}}"'))
    try:
        sent = tmp_path / "sent" / "renewed" / "asr"
        assert audio_source(open_workspace(root), SLOT, "", "", print).path == sent
        with temporary_settings({PREFECT_API_URL: api}):
            with pytest.raises(UsageError, match="does not exist; name a folder with a subfolder for each session"):
                flows.monitor(str(root), str(SLOT))
            sent.mkdir(parents=True)
            quiet = flows.monitor(str(root), str(SLOT), return_state=True)
            write_sessions(sent, 120, 18, noise=0.1)
            loud = flows.monitor(str(root), str(SLOT), return_state=True)
    finally:
        settings.write_text(text)
    # a day on which nothing was sent is no failure, and the age of the champion counts all the same
    assert quiet.name == "Completed"
    assert "renewed/asr: no new block; retraining started: the champion is 0 days old" in quiet.message
    assert (loud.type.value, loud.name) == ("COMPLETED", "Alarm")
    assert loud.message.startswith("renewed/asr: alarm: ")
    assert "retraining held back: the champion is 0 days old, limit 0; cooldown: " in loud.message
    looks = [entry for entry in _entries(watched.workspace) if entry["kind"] == "look"]
    assert (looks[-2]["blocks"], looks[-1]["blocks"]) == (0, 18)
    # the alarm is an event of Prefect, from which alerts are sent
    body = {"filter": {"event": {"name": ["elp.audio.changed"]}}, "limit": 5}
    # Prefect stores events a moment later
    deadline = time.monotonic() + 60
    while not (found := prefect_request(f"{api}/events/filter", body, 60.0)["events"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert {event["payload"]["slot"] for event in found} == {str(SLOT)}


def test_a_clone_keeps_no_looks(watched: Watched, tmp_path: Path) -> None:
    clone = dataclasses.replace(watched.workspace, home=tmp_path)
    with pytest.raises(WorkspaceError, match="this run has a clone of its own; run elp monitor in the workspace"):
        look_at_site.fn(clone, SLOT)


def test_the_schedule_of_the_page_is_applied_next_to_one_of_a_person(
    watched: Watched, capfd: pytest.CaptureFixture[str]
) -> None:
    root, place = watched.workspace.root, ["--json", "-w", str(watched.workspace.root)]
    (page,) = [fence.text for fence in fences("yaml") if fence.page == "monitor.md"]
    commands = [line for fence in fences("sh") if fence.page == "monitor.md" for line in fence.commands]
    apply, add = (shlex.split(line)[1:] for line in commands if line.startswith("elp schedule"))
    add = [word.replace("plant-a/asr", str(SLOT)) for word in add]
    schedules = page[page.index("schedules:") :]
    assert read_settings(page).for_slot(SLOT).monitor.source_of("a", "asr") == "/srv/sent/a/asr"

    def listed(*words: str) -> list[dict[str, Any]]:
        capfd.readouterr()
        assert run([*words, *place]) == 0, capfd.readouterr().err
        found: Any = json.loads(capfd.readouterr().out)
        return found if isinstance(found, list) else [found]

    settings = root / "elp.yaml"
    text = settings.read_text()
    settings.write_text(f"{text}{schedules}  nightly: {{slots: '*/asr', cron: '0 2 * * *'}}\n")
    try:
        assert listed(*apply)[0]["counts"]["added"] == 2
        assert listed(*apply)[0]["counts"] == {"added": 0, "changed": 0, "removed": 0, "unchanged": 2, "kept": 0}
        flows_of = [(one["flow"], one["entry"]) for one in listed("schedule", "list")]
        assert flows_of == [("retrain", "nightly"), ("monitor", "looks")]
        name = deployment_name(watched.workspace) + "-renewed-asr"
        api = watched.workspace.settings.servers.prefect_api
        made = prefect_request(f"{api}/deployments/name/monitor/{name}", timeout=60.0)
        assert (made["work_pool_name"], made["parameters"]["slot"]) == ("elp-cpu", str(SLOT))
        assert made["entrypoint"].endswith(".monitor")
        # the worker of `elp up` takes it, and no worker with a clone
        assert made["work_queue_name"] == workspace_queue(watched.workspace)
        assert made["work_queue_name"] in worker_command(watched.workspace, "elp-cpu")
        assert plan_workers([], "host")[0].queues == ("default",)
        # a schedule of a person, of the looks and not of the retrainings
        assert ("monitor", "", "0 6 * * *") in [(s["flow"], s["entry"], s["cron"]) for s in listed(*add)]
        paused = listed("schedule", "pause", str(SLOT), "--flow", "monitor")
        assert {one["flow"]: one["active"] for one in paused} == {"retrain": True, "monitor": False}
        left = listed("schedule", "remove", str(SLOT), "--flow", "monitor")
        assert [(one["flow"], one["entry"]) for one in left] == flows_of
        assert run(["schedule", "add", "all", "--flow", "monitor", "--cron", "0 6 * * *", *place]) == 2
    finally:
        settings.write_text(text)
    assert listed(*apply)[0]["counts"]["removed"] == 2
