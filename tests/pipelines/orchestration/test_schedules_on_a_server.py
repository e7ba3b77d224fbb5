"""Apply, list and catch up on a real Prefect server, without workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Pending, Running, Scheduled

from pipelines.cli.main import run
from pipelines.errors import ServiceError
from pipelines.local.former_addresses import former_addresses
from pipelines.local.interrupted_runs import led_by
from pipelines.local.prefect_request import prefect_request
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration import catch_up, joined_runs, schedule_apply, schedule_list, slot_deployments, slot_turn
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.catch_up import end_late_runs, of_entry
from pipelines.orchestration.deployments import FLOWS, refuse_shared_prefect, register_deployments
from pipelines.orchestration.prefect_api import connect_prefect, find_deployment
from pipelines.orchestration.schedule_apply import apply_schedules, read_applied
from pipelines.orchestration.schedule_watch import ScheduleWatch, watch_schedules
from pipelines.orchestration.schedules import set_active, set_schedule
from pipelines.orchestration.slot_deployments import change_starts, make_deployment, read_slot_deployments, server_now
from pipelines.registry.slot import Slot
from tests.support.scheduled_workspace import scheduled_workspace, tag_slots, write_settings
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NIGHTLY = """schedules:
  nightly: {slots: "plant-*/*", cron: "0 2 * * *", timezone: Asia/Tokyo, spread: 90m}
  weekly: {slots: plant-1/asr, cron: "0 3 * * MON", catch_up: skip}
"""


class Server:
    """The workspace and its Prefect server."""

    def __init__(self, workspace: Workspace, api: str) -> None:
        self.workspace, self.api = workspace, api

    def settings(self, text: str) -> None:
        write_settings(self.workspace, f"servers: {{prefect_api: {self.api}}}\n{text}")
        self.workspace = open_workspace(self.workspace.root)

    def elp(self, capfd: pytest.CaptureFixture[str], *words: str) -> Any:
        capfd.readouterr()
        assert run(["schedule", *words, "--json", "-w", str(self.workspace.root)]) == 0
        return json.loads(capfd.readouterr().out)

    def present(self, slot: str) -> Any:
        return next(one for one in read_slot_deployments(self.workspace, self.api) if one.slot == slot)

    def states(self, slot: str) -> list[str]:
        """The states of a slot's runs that were due, the oldest first."""
        wanted = {
            "tags": {"all_": [slot]}, "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        }  # fmt: skip
        body = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        return [run["state_name"] for run in prefect_request(f"{self.api}/flow_runs/filter", body, 60.0)]

    def plan_past(self, slot: str, ages: list[timedelta]) -> None:
        """Let Prefect's planner make runs of a slot's schedule that were due so long ago."""
        deployment = self.present(slot)
        (schedule,) = deployment.declared
        now = server_now(self.api)
        starts = sorted([now - age for age in ages] + [now + timedelta(days=1)])
        change_starts(self.api, deployment, schedule, schedule.entry, starts)
        body = {
            "start_time": (starts[0] - timedelta(seconds=1)).isoformat(),
            "end_time": now.isoformat(),
            "min_runs": 50,
        }
        prefect_request(f"{self.api}/deployments/{deployment.id}/schedule", body, 60.0)


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        isolate(tmp_path_factory.mktemp("home"), patch)
        slots = [f"plant-{number}/{task}" for number in (1, 2, 3) for task in ("asr", "asv")]
        with scheduled_workspace(tmp_path_factory.mktemp("schedules"), slots) as (workspace, api):
            yield Server(workspace, api)


@pytest.fixture
def server(module_server: Server) -> Server:
    """The server with the two entries applied."""
    module_server.settings(NIGHTLY)
    schedule_apply.write_applied(module_server.workspace)
    entries = module_server.workspace.settings.schedule_entries()
    apply_schedules(module_server.workspace, module_server.api, entries, server_now(module_server.api))
    return module_server


def test_apply_shows_the_difference_first_and_twice_changes_nothing(module_server: Server, capfd) -> None:
    server = module_server
    server.settings(NIGHTLY)
    place = ["-w", str(server.workspace.root)]
    assert run(["schedule", "apply", *place]) == 2
    shown = capfd.readouterr()
    assert "6 added, 0 changed, 0 removed, 0 unchanged, 0 kept" in shown.out
    assert "elp schedule apply --yes" in shown.err
    assert server.elp(capfd, "list") == []
    assert not server.elp(capfd, "apply")["applied"]
    assert server.elp(capfd, "apply", "--yes")["counts"]["added"] == 6
    assert server.elp(capfd, "apply", "--yes")["counts"] == {
        "added": 0, "changed": 0, "removed": 0, "unchanged": 6, "kept": 0,
    }  # fmt: skip
    listed = {one["name"]: one for one in server.elp(capfd, "list")}
    assert (listed["plant-1/asr"]["entry"], listed["plant-2/asr"]["entry"]) == ("weekly", "nightly")
    assert listed["plant-2/asr"]["cron"] == "0 2 * * *"
    assert listed["plant-2/asr"]["timezone"] == "Asia/Tokyo"
    # 2:00 to 3:30 in Tokyo
    assert {one["next_run"][11:13] for one in listed.values() if one["entry"] == "nightly"} <= {"17", "18"}


def test_prefect_plans_the_starts_that_are_listed(server: Server, capfd) -> None:
    (listed,) = [one for one in server.elp(capfd, "list") if one["name"] == "plant-2/asv"]
    deadline = time.monotonic() + 120
    wanted = {
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"any_": [listed["deployment_id"]]},
            "expected_start_time": {"after_": datetime.now(UTC).isoformat()},
        },
        "sort": "EXPECTED_START_TIME_ASC",
    }  # fmt: skip
    while not (planned := prefect_request(f"{server.api}/flow_runs/filter", wanted, 60.0)):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert planned[0]["expected_start_time"][:19] == listed["next_run"][:19]
    assert planned[0]["parameters"]["slot"] == "plant-2/asv"


def test_an_apply_that_was_interrupted_is_completed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.settings(NIGHTLY.replace("0 2 * * *", "0 4 * * *"))
    entries = server.workspace.settings.schedule_entries()
    done = []

    def interrupt(*given: Any) -> None:
        done.append(given)
        if len(done) == 3:
            raise KeyboardInterrupt
        change_starts(*given)

    with monkeypatch.context() as patch:
        patch.setattr(schedule_apply, "change_starts", interrupt)
        with pytest.raises(KeyboardInterrupt):
            apply_schedules(server.workspace, server.api, entries, server_now(server.api))
    rest = apply_schedules(server.workspace, server.api, entries, server_now(server.api))
    assert (rest.counts["changed"], rest.counts["unchanged"]) == (3, 3)
    assert apply_schedules(server.workspace, server.api, entries, server_now(server.api)).nothing


def test_what_a_person_made_or_paused_stays(server: Server, capfd) -> None:
    with connect_prefect(server.workspace) as client:
        set_schedule(client, server.workspace, "plant-3/asr", "UTC", "0 5 * * *")
        set_active(client, server.workspace, "plant-3/asv", False)
    server.settings(NIGHTLY.replace("0 2 * * *", "0 6 * * *").replace("90m", "30m"))
    diff = server.elp(capfd, "apply", "--yes")
    assert (diff["counts"]["changed"], diff["counts"]["kept"]) == (5, 1)
    listed = server.elp(capfd, "list")
    assert [(one["entry"], one["cron"]) for one in listed if one["name"] == "plant-3/asr"] == [
        ("", "0 5 * * *"), ("nightly", "0 6 * * *"),
    ]  # fmt: skip
    (paused,) = [one for one in listed if one["name"] == "plant-3/asv"]
    assert (paused["active"], paused["next_run"]) == (False, "")
    # removing takes the person's only; that of elp.yaml is not removed by hand
    place = ["-w", str(server.workspace.root)]
    assert run(["schedule", "remove", "plant-3/asr", *place]) == 0
    capfd.readouterr()
    assert run(["schedule", "remove", "plant-3/asr", *place]) == 2
    assert "schedules.nightly in elp.yaml" in capfd.readouterr().err
    # registering the deployments again leaves all of it
    register_deployments(server.workspace, server.api)
    assert {one["name"] for one in server.elp(capfd, "list") if not one["active"]} == {"plant-3/asv"}
    server.elp(capfd, "resume", "plant-3/asv")


def test_new_slots_are_scheduled_as_applied_and_removed_entries_go(server: Server, capfd) -> None:
    tag_slots(server.workspace, ["plant-9/ser"])
    lines: list[str] = []
    watch = ScheduleWatch()
    for _ in range(2):
        # what the supervision does; the second look is too early
        watch_schedules(server.workspace, watch, lambda: server.api, lines.append)
    assert lines == ["schedules as they were applied: 1 added, 6 unchanged"]
    assert server.present("plant-9/ser").declared[0].entry == "nightly"
    server.settings('schedules:\n  weekly: {slots: "plant-1/*", cron: "0 3 * * MON"}\n')
    place = ["-w", str(server.workspace.root)]
    assert run(["schedule", "list", *place]) == 0
    assert "other schedules than those that were applied last" in capfd.readouterr().err
    counts = server.elp(capfd, "apply", "--yes")["counts"]
    assert counts == {"added": 0, "changed": 1, "removed": 5, "unchanged": 1, "kept": 0}
    assert {one["name"] for one in server.elp(capfd, "list")} == {"plant-1/asr", "plant-1/asv"}


def test_an_inbox_that_is_not_mounted_stops_no_schedule(server: Server, capfd) -> None:
    server.settings(NIGHTLY + "inbox: {path: /nowhere/recordings}\n")
    lines: list[str] = []
    watch_schedules(server.workspace, ScheduleWatch(), lambda: server.api, lines.append)
    assert lines[0].startswith("schedules: slots that have only an inbox are not seen: the inbox /nowhere/recordings")
    assert not [line for line in lines if "removed" in line]
    shown = server.elp(capfd, "apply", "--yes")
    assert (shown["counts"]["removed"], "/nowhere/recordings" in shown["unread"]) == (0, True)
    assert run(["schedule", "list", "-w", str(server.workspace.root)]) == 0
    assert "no slot that has only an inbox gets one" in capfd.readouterr().err


def test_the_last_run_of_a_slot_is_found_behind_those_of_many_others(server: Server, monkeypatch) -> None:
    monkeypatch.setattr(schedule_list, "_NEWEST", 1)
    for module in (schedule_list, slot_deployments):
        monkeypatch.setattr(module, "PAGE", 2)
    deployments = {slot: server.present(slot) for slot in ("plant-1/asr", "plant-3/asv", "plant-2/asv")}
    with connect_prefect(server.workspace) as client:
        # plant-3/asv first; plant-1/asr often since then, and plant-2/asv never
        runs = []
        for slot in ("plant-3/asv", *["plant-1/asr"] * 4):
            made = client.create_flow_run_from_deployment(UUID(deployments[slot].id), state=Running(), tags=[slot])
            client.set_flow_run_state(made.id, Completed(), force=True)
            runs.append(made.id)
        found = schedule_list._last_runs(server.workspace, server.api, {(slot, "retrain") for slot in deployments})
        for run_id in runs:
            client.delete_flow_run(run_id)
    assert {slot: run["id"] for (slot, _), run in found.items()} == {
        "plant-1/asr": str(runs[-1]), "plant-3/asv": str(runs[0]),
    }  # fmt: skip


def test_after_an_outage_the_newest_late_run_starts_or_none(server: Server, capfd, monkeypatch) -> None:
    entries = read_applied(server.workspace)
    assert entries is not None
    days = [timedelta(days=3), timedelta(days=2), timedelta(days=1)]
    server.plan_past("plant-1/asr", days)
    server.plan_past("plant-2/asr", days)
    assert len(server.states("plant-1/asr")) == 3
    lines: list[str] = []
    alerts: list[Alert] = []
    monkeypatch.setattr(catch_up, "emit", lambda workspace, api, new: alerts.extend(new))
    with monkeypatch.context() as patch:
        # killed before any run ends
        patch.setattr(catch_up, "set_missed", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            end_late_runs(server.workspace, server.api, entries, lines.append)
    assert sorted(alert.slot for alert in alerts) == ["plant-1/asr", "plant-2/asr"]
    end_late_runs(server.workspace, server.api, entries, lines.append)
    assert [alert.id for alert in alerts[:2]] == [alert.id for alert in alerts[2:]], "sent again, and taken in once"
    # catch_up of weekly is skip: Prefect, which marks them as late only now, was not up at their time
    assert server.states("plant-1/asr") == ["Missed"] * 3
    assert server.states("plant-2/asr")[:2] == ["Missed"] * 2
    assert server.states("plant-2/asr")[2] in ("Late", "Scheduled")
    end_late_runs(server.workspace, server.api, entries, lines.append)
    assert len(alerts) == 4
    listed = {one["name"]: one for one in server.elp(capfd, "list") if one["entry"]}
    assert (listed["plant-1/asr"]["missed"], listed["plant-2/asr"]["missed"]) == (3, 2)
    first = (datetime.now(UTC) - timedelta(days=3)).isoformat()[:13]
    assert listed["plant-1/asr"]["missed_since"][:13] <= first


def test_a_late_run_of_a_slot_that_skips_looks_by_itself_whether_a_worker_was_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a supervision nobody has noted when a worker was up; other runs of the pool are the only sign."""
    deployment = server.present("plant-1/asv")
    server.settings(NIGHTLY.replace("plant-1/asr", "plant-1/asv"))
    ((run_id, due),) = _planned_runs(server, deployment, timedelta(seconds=200))
    # a worker takes it
    prefect_request(f"{server.api}/flow_runs/{run_id}/set_state", {"state": {"type": "PENDING"}}, 60.0)
    monkeypatch.setattr(slot_turn, "flow_run", SimpleNamespace(get_id=lambda: run_id))
    monkeypatch.setattr(slot_turn, "deployment", SimpleNamespace(id=deployment.id))
    # twenty seconds are an outage of this test, and the server was up: it marks late runs within some seconds
    monkeypatch.setattr(catch_up, "OUTAGE", 20.0)
    monkeypatch.setattr(slot_turn, "OUTAGE", 20.0)
    monkeypatch.setattr(slot_turn, "_stamp", lambda state: due + 5.0)

    def state() -> str:
        with temporary_settings({PREFECT_API_URL: server.api}):
            found = slot_turn.missed_state(server.workspace, Slot.parse("plant-1/asv"))
        return found.message or "" if found else ""

    assert state() == "no worker was up at its time, and catch_up of plant-1/asv is skip"
    # a worker that came back reports what it had as crashed: that does not prove that it was up
    with connect_prefect(server.workspace) as client:
        template = find_deployment(client, "retrain", server.workspace)
        other = client.create_flow_run_from_deployment(
            template.id, parameters={"slot": "plant-3/ser"}, state=Running(), name="other"
        )
        now = time.time()
        assert slot_turn.pool_was_at_work(server.api, "elp-gpu", now + 60)
        assert not slot_turn.pool_was_at_work(server.api, "elp-gpu", now - 600), "it began later"
        client.set_flow_run_state(other.id, Crashed(), force=True)
        assert not slot_turn.pool_was_at_work(server.api, "elp-gpu", now)
        client.set_flow_run_state(other.id, Completed(), force=True)
        assert slot_turn.pool_was_at_work(server.api, "elp-gpu", now)
        assert not slot_turn.pool_was_at_work(server.api, "elp-gpu", now + 60), "it ended before"
    # that one began within the time of an outage: a worker was busy with it, and this run only waited
    monkeypatch.setattr(slot_turn, "OUTAGE", 600.0)
    assert state() == ""


def _planned_runs(server: Server, deployment: Any, age: timedelta) -> list[tuple[str, float]]:
    """Make the run of a slot that was due so long ago; return its id and that time."""
    server.plan_past(deployment.slot, [age])
    wanted = {
        "deployment_id": {"any_": [deployment.id]}, "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
    }  # fmt: skip
    found = prefect_request(f"{server.api}/flow_runs/filter", {"flow_runs": wanted}, 60.0)
    return [(run["id"], datetime.fromisoformat(run["expected_start_time"]).timestamp()) for run in found]


def test_a_due_run_of_the_same_queue_joins_one_of_those_that_want_it(server: Server) -> None:
    """The newest run of each other slot that is due now; and Prefect grants a claim once."""
    workspace, api = server.workspace, server.api
    with connect_prefect(workspace) as client:
        template = find_deployment(client, "retrain", workspace)

        def made(site: str, state: State[Any], **more: Any) -> str:
            given = {"slot": f"{site}/asr", **more}
            return str(client.create_flow_run_from_deployment(template.id, parameters=given, state=state).id)

        now = datetime.now(UTC)
        mine, other = made("first", Running()), made("other", Running())
        old, new = (made("wanted", Scheduled(scheduled_time=now - timedelta(minutes=age))) for age in (9, 4))
        made("later", Scheduled(scheduled_time=now + timedelta(hours=1)))
        made("group", Scheduled(scheduled_time=now), also=["more/asr"])
        made("older", Scheduled(scheduled_time=now), revision="another commit")
        made("first", Scheduled(scheduled_time=now))
        taken = made("taken", Pending())
        leaders = [prefect_request(f"{api}/flow_runs/{run}", None, 60.0) for run in (mine, other)]
        due = [run for run in joined_runs._due_runs(api, workspace, leaders[0]) if not of_entry(run)]
        assert [run["id"] for run in due] == [new]
        assert [joined_runs._claim(api, due[0], leader) for leader in leaders] == [True, False]
        found = prefect_request(f"{api}/flow_runs/{new}", None, 60.0)
        assert (found["state"]["name"], led_by(found)) == ("Pending", (mine, leaders[0]["state"]["id"]))
        assert not joined_runs._claim(api, {"id": taken}, leaders[0]), "a worker has it"
        assert prefect_request(f"{api}/flow_runs/{old}", None, 60.0)["state"]["type"] == "SCHEDULED"
        for run in (mine, other, taken, new):
            client.set_flow_run_state(UUID(run), Crashed(), force=True)


def test_slots_of_other_needs_and_trainings_in_several_processes_do_not_join(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """servers: {together: 3}
slots:
  large/asr: {compute: {gpu_memory: 20}}
  bf16/asr: {train: {precision: bf16}}
  several/asr: {compute: {processes: 2}}
"""
    settings = read_settings(text)

    def fit(*sites: str) -> bool:
        return joined_runs._fit_together(settings, [Slot(site, "asr") for site in sites], "default")

    monkeypatch.setenv("ELP_TEST_GPUS", "GPU-a:8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    assert fit("a", "b")
    assert fit("a", "b", "c")
    assert not fit("a", "b", "c", "d"), "more than together"
    assert [fit("a", other) for other in ("large", "bf16", "several")] == [False, False, False]
    # two of 5 GiB need a larger GPU than that of this worker
    settings = read_settings("servers: {together: 3}\ndefaults: {asr: {compute: {gpu_memory: 5}}}")
    assert fit("a")
    assert not fit("a", "b")
    monkeypatch.setenv("ELP_TEST_GPUS", "GPU-a:24")
    assert fit("a", "b")


def test_starts_that_were_never_planned_are_counted(server: Server, capfd) -> None:
    entries = read_applied(server.workspace)
    assert entries is not None
    seen = {"server": time.time() - 4 * 86400, "worker": time.time()}
    before = {one["name"]: one["missed"] for one in server.elp(capfd, "list") if one["entry"]}
    for _ in range(2):
        # two supervisions, or one that ended before it had noted what it did
        (server.workspace.state / "schedules-seen.json").write_text(json.dumps(seen))
        end_late_runs(server.workspace, server.api, entries, print)
    after = {one["name"]: one["missed"] for one in server.elp(capfd, "list") if one["entry"]}
    assert after["plant-2/asv"] - before["plant-2/asv"] == 4
    assert after["plant-3/asr"] - before["plant-3/asr"] == 4


def test_a_damaged_record_of_the_apply_is_named(server: Server, capfd) -> None:
    (server.workspace.state / "schedules.json").write_text("{}")
    assert run(["schedule", "list", "-w", str(server.workspace.root)]) == 1
    assert "write it again with: elp schedule apply" in capfd.readouterr().err
    # as elp up does: without the server, nobody could apply again
    register_deployments(server.workspace, server.api)
    server.elp(capfd, "apply", "--yes")


def test_the_schedules_of_an_earlier_address_end(server: Server) -> None:
    with connect_prefect(server.workspace) as client:
        set_schedule(client, server.workspace, "plant-3/asr", "UTC", "0 5 * * *")
    entries = server.workspace.settings.schedule_entries()
    slots = [one.slot for one in read_slot_deployments(server.workspace, server.api) if one.declared]
    # set, changed, and removed again
    for address in ("file:///nowhere/shared.git", "file:///nowhere/other.git", ""):
        before = server.workspace
        server.settings(f"{NIGHTLY}git: {address!r}\n")
        register_deployments(server.workspace, server.api)
        assert apply_schedules(server.workspace, server.api, entries, server_now(server.api)).counts["added"] == len(
            slots
        )
        assert [one.slot for one in read_slot_deployments(server.workspace, server.api) if one.declared] == slots
        left = [one for one in read_slot_deployments(before, server.api) if one.schedules]
        assert [one.slot for one in left] == ["plant-3/asr"] * (not before.settings.git), "a person's stays"
        assert not [one for one in left if one.declared]
    assert apply_schedules(server.workspace, server.api, entries, server_now(server.api)).nothing


def test_a_move_that_was_interrupted_ends_what_both_addresses_have(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, folder = server.workspace.settings.schedule_entries(), server.workspace
    server.settings(f"{NIGHTLY}git: file:///nowhere/half.git\n")
    half = server.workspace
    register_deployments(half, server.api)
    monkeypatch.setattr(schedule_apply, "drop_former_addresses", lambda workspace: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        apply_schedules(half, server.api, entries, server_now(server.api))
    monkeypatch.undo()
    server.settings(f"{NIGHTLY}git: file:///nowhere/third.git\n")
    register_deployments(server.workspace, server.api)
    apply_schedules(folder, server.api, entries, server_now(server.api))
    apply_schedules(server.workspace, server.api, entries, server_now(server.api))
    for before in (folder, half):
        assert not [one for one in read_slot_deployments(before, server.api) if one.declared]


def test_a_start_that_is_due_when_the_address_changes_is_reported_as_missed(server: Server) -> None:
    missed = server.states("plant-1/asv").count("Missed")
    server.plan_past("plant-1/asv", [timedelta(minutes=1)])
    assert {"Late", "Scheduled"} & set(server.states("plant-1/asv"))
    server.settings(f"{NIGHTLY}git: file:///nowhere/moved.git\n")
    register_deployments(server.workspace, server.api)
    apply_schedules(server.workspace, server.api, server.workspace.settings.schedule_entries(), server_now(server.api))
    assert server.states("plant-1/asv").count("Missed") == missed + 1
    wanted = {"filter": {"event": {"name": ["elp.schedule.missed"]}}, "limit": 50}
    deadline, text = time.monotonic() + 60, f"{server.workspace.root} is not the address of the workspace any more"
    while text not in json.dumps(prefect_request(f"{server.api}/events/filter", wanted, 60.0)):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_the_schedules_of_a_former_folder_end(server: Server) -> None:
    entries, before = server.workspace.settings.schedule_entries(), server.workspace
    slots = [one.slot for one in read_slot_deployments(before, server.api) if one.declared]
    root = before.root.rename(before.root.with_name("elsewhere"))
    server.workspace = open_workspace(root)
    try:
        register_deployments(server.workspace, server.api)
        apply_schedules(server.workspace, server.api, entries, server_now(server.api))
        assert [one.slot for one in read_slot_deployments(server.workspace, server.api) if one.declared] == slots
        assert not [one for one in read_slot_deployments(before, server.api) if one.declared]
    finally:
        server.workspace = open_workspace(root.rename(before.root))
        register_deployments(server.workspace, server.api)


def test_deployments_with_the_name_of_now_are_taken_over_from_an_earlier_address(server: Server) -> None:
    """A Git server that moves to another host, and a backup that is restored on another machine."""

    def move(address: str) -> list[Any]:
        server.settings(f"{NIGHTLY}git: {address!r}\n")
        refuse_shared_prefect(server.workspace, server.api)
        register_deployments(server.workspace, server.api)
        with connect_prefect(server.workspace) as client:
            owners = {find_deployment(client, flow, server.workspace).parameters["workspace"] for flow in FLOWS}
        assert owners == {server.workspace.address}
        return read_slot_deployments(server.workspace, server.api)

    with connect_prefect(server.workspace) as client:
        # of other tests, under other names
        for one in client.read_deployments():
            if one.name != "plant" and not one.parameters.get("slot"):
                client.delete_deployment(one.id)
    before = move("file:///old/plant.git")
    with connect_prefect(server.workspace) as client:
        set_active(client, server.workspace, "plant-3/asv", False)
    server.plan_past("plant-1/asv", [timedelta(minutes=1)])
    missed = server.states("plant-1/asv").count("Missed")
    after = move("file:///new/plant.git")
    assert [one.id for one in after] == [one.id for one in before]
    assert [one.slot for one in after if one.declared and not one.declared[0].active] == ["plant-3/asv"]
    # it was planned with the old address
    assert server.states("plant-1/asv").count("Missed") == missed + 1
    entries = server.workspace.settings.schedule_entries()
    assert apply_schedules(server.workspace, server.api, entries, server_now(server.api)).counts["added"] == 0
    # an address that is not noted: on the server of this workspace, it is one of its own, too
    third = replace(server.workspace, settings=replace(server.workspace.settings, git="file:///third/plant.git"))
    (third.state / "schedules-git.json").write_text("[]")
    with pytest.raises(ServiceError, match=r"/new/plant\.git.*, run: prefect deployment delete ingest/plant$"):
        register_deployments(third, server.api)
    own = replace(third.settings.servers, prefect_api="")
    third = replace(third, settings=replace(third.settings, servers=own))
    with (
        connect_prefect(third, server.api) as client,
        pytest.raises(ServiceError, match=r"earlier address or folder, run: elp up$"),
    ):
        find_deployment(client, "train", third)
    register_deployments(third, server.api)
    assert [one.id for one in read_slot_deployments(third, server.api)] == [one.id for one in before]
    move("")
    with connect_prefect(server.workspace) as client:
        set_active(client, server.workspace, "plant-3/asv", True)


def test_the_deployments_of_a_folder_that_still_has_a_workspace_are_not_taken_over(server: Server, tmp_path) -> None:
    copy = replace(server.workspace, root=tmp_path / server.workspace.root.name)
    copy.state.mkdir(parents=True)
    (copy.state / "schedules-git.json").write_text(json.dumps([server.workspace.address]))
    with pytest.raises(ServiceError, match=r"if /.*plant is the former folder of this workspace, rename it and run"):
        register_deployments(copy, server.api)
    assert not former_addresses(copy)


def test_a_paused_schedule_stays_paused_when_the_address_changes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = server.workspace.settings.schedule_entries()
    with connect_prefect(server.workspace) as client:
        set_active(client, server.workspace, "plant-3/asv", False)
    server.settings(f"{NIGHTLY}git: file:///nowhere/paused.git\n")
    register_deployments(server.workspace, server.api)

    def interrupt(*given: Any) -> None:
        if str(given[2]) == "plant-3/asv":
            raise KeyboardInterrupt
        make_deployment(*given)

    with monkeypatch.context() as patch:
        patch.setattr(schedule_apply, "make_deployment", interrupt)
        with pytest.raises(KeyboardInterrupt):
            apply_schedules(server.workspace, server.api, entries, server_now(server.api))
    for _ in range(2):
        apply_schedules(server.workspace, server.api, entries, server_now(server.api))
        found = read_slot_deployments(server.workspace, server.api)
        assert [one.slot for one in found if one.declared and not one.declared[0].active] == ["plant-3/asv"]
        # and back, to a deployment that is there already
        server.settings(NIGHTLY)
        register_deployments(server.workspace, server.api)
    with connect_prefect(server.workspace) as client:
        set_active(client, server.workspace, "plant-3/asv", True)


def test_slots_that_have_only_an_inbox_keep_their_schedules_when_the_address_changes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = server.workspace.settings.schedule_entries()
    slots = [one.slot for one in read_slot_deployments(server.workspace, server.api) if one.declared]

    def unread(workspace: Workspace, why: Any) -> list[Slot]:
        why("the inbox is not mounted")
        return []

    monkeypatch.setattr(schedule_apply, "slots_to_retrain", unread)
    for address in ("file:///nowhere/unread.git", ""):
        before = server.workspace
        server.settings(f"{NIGHTLY}git: {address!r}\n")
        register_deployments(server.workspace, server.api)
        now = server_now(server.api)
        assert schedule_apply.plan_apply(server.workspace, server.api, entries, now).counts["added"] == len(slots)
        assert apply_schedules(server.workspace, server.api, entries, now).counts["added"] == len(slots)
        assert [one.slot for one in read_slot_deployments(server.workspace, server.api) if one.declared] == slots
        assert not [one for one in read_slot_deployments(before, server.api) if one.declared]
