"""The whole of it once, with the real servers and workers."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas import filters
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.states import AwaitingRetry, Cancelled, Running

from pipelines.cli.main import run
from pipelines.errors import ServiceError
from pipelines.local import lifecycle, running_release
from pipelines.local.addresses import mlflow_uri, prefect_api, prefect_pages, read_record
from pipelines.local.git import git
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import Process, alive
from pipelines.local.running_release import require_current_servers
from pipelines.local.supervision import GUARD, SUPERVISOR
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.migration.migrate_site import SlotMove
from pipelines.orchestration import migrate_runs
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.automations import (
    automation_name,
    emit,
    ensure_automations,
    own_event,
    selected_events,
)
from pipelines.orchestration.alerts.channel_status import channel_status
from pipelines.orchestration.deployments import FLOWS, refuse_shared_prefect, register_deployments
from pipelines.orchestration.prefect_api import connect_prefect, find_deployment, read_run, start_run
from pipelines.orchestration.schedule_apply import apply_schedules
from pipelines.orchestration.schedules import remove_schedule, set_schedule
from pipelines.orchestration.slot_deployments import change_starts, delete_schedule, read_slot_deployments, server_now
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from tests.support.new_databases import new_prefect_database
from tests.support.receivers import Receiver, http_receiver
from tests.support.rest import Rest
from tests.support.scheduled_workspace import tag_slots
from tests.support.versions_by_hand import gate, register
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose servers and workers run."""
    from pipelines.local.initialise import init_workspace

    with pytest.MonkeyPatch.context() as patch:
        isolate(tmp_path_factory.mktemp("home"), patch)
        workspace = init_workspace(tmp_path_factory.mktemp("operations") / "plant")
        with (workspace.root / "elp.yaml").open("a") as settings:
            settings.write("servers: {mlflow_port: 0, prefect_port: 0}\n")
        workspace = open_workspace(workspace.root)
        new_prefect_database(workspace.state / "prefect")
        try:
            lifecycle.up(workspace, register_deployments, log=lambda _: None)
            yield workspace
        finally:
            processes = read_record(workspace).processes
            lifecycle.down(workspace, log=lambda _: None)
            assert not any(alive(process) for process in processes)


def _eventually(found: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return result


def test_status_shows_all_five_up(up: Workspace, capfd) -> None:
    assert run(["status", "--json", "-w", str(up.root)]) == 0
    found = json.loads(capfd.readouterr().out)
    names = ("mlflow", "prefect", "elp-cpu", "elp-gpu", "supervisor")
    assert [(s["name"], s["state"]) for s in found] == [(name, "up") for name in names]
    address = found[0]["detail"].removeprefix("console: ")
    assert address == f"{found[0]['address']}/elp/"
    with urllib.request.urlopen(address, timeout=20) as page:
        assert "<strong>ELP console</strong>" in page.read().decode()
    # one address: Prefect's pages and API are below it, and links to its own port lead there
    assert found[1]["address"] == f"{found[0]['address']}/prefect/"
    with urllib.request.urlopen(f"{found[1]['address']}api/hello", timeout=20) as answer:
        assert answer.status == 200
    old = urllib.request.Request(f"{prefect_api(up).removesuffix('/api')}/runs", headers={"Accept": "text/html"})
    with urllib.request.urlopen(old, timeout=20) as page:
        assert page.url == f"{found[1]['address']}runs"


def test_up_again_starts_nothing(up: Workspace) -> None:
    before = read_record(up)
    assert lifecycle.up(up, register_deployments, log=lambda _: None) == before


def test_up_is_refused_while_the_servers_run_with_another_release(
    up: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep them, and register runs for a release whose workers do not start with these servers."""
    require_current_servers(up)
    monkeypatch.setattr(running_release, "installed_release", lambda: "elp 9.9, recipe 7")
    with pytest.raises(ServiceError, match=r"run with elp .*, and elp 9.9, recipe 7 is installed; run: elp down, then"):
        require_current_servers(up)


def test_a_workspace_with_its_own_mlflow_server_does_not_share_prefect(up: Workspace, tmp_path: Path) -> None:
    api = prefect_api(up)

    def sharing(root: Path, mlflow_uri: str = "") -> Workspace:
        servers = dataclasses.replace(up.settings.servers, prefect_api=api, mlflow_uri=mlflow_uri)
        return Workspace(root, dataclasses.replace(up.settings, servers=servers))

    with pytest.raises(ServiceError, match=rf"has the runs of the workspace {up.root}, too.*former folder"):
        refuse_shared_prefect(sharing(tmp_path / "stranger"), api)
    # with one MLflow server for both, or on another machine of the same workspace
    refuse_shared_prefect(sharing(tmp_path / "stranger", "http://mlflow:5000"), api)
    refuse_shared_prefect(sharing(up.root), api)


def test_every_flow_is_deployed_on_its_pool(up: Workspace) -> None:
    with connect_prefect(up) as client:
        assert {name: find_deployment(client, name, up).work_pool_name for name in FLOWS} == FLOWS


def test_a_folder_of_the_same_name_elsewhere_is_refused(up: Workspace, tmp_path: Path) -> None:
    stranger = dataclasses.replace(up, root=tmp_path / up.root.name)
    with pytest.raises(ServiceError, match="belongs to the workspace"):
        register_deployments(stranger, prefect_api(up))


def test_the_failure_of_a_run_is_told_without_a_traceback_and_named_on_the_console(
    up: Workspace, tmp_path: Path, capfd
) -> None:
    source = tmp_path / "broken.jsonl"
    source.write_text('{"audio_filepath": "missing.wav", "text": "one"}\n{not json\n')
    assert run(["retrain", "plant-a/asr", str(source), "-w", str(up.root)]) == 1
    shown = capfd.readouterr().err
    assert "retrain plant-a/asr ended as Failed" in shown
    assert "broken.jsonl" in shown
    assert "Traceback" not in shown
    address = next(process.address for process in read_record(up).processes if process.name == "mlflow")

    def named() -> str:
        with urllib.request.urlopen(f"{address}/elp/", timeout=20) as page:
            text = str(page.read().decode())
        return text if "retrain plant-a/asr failed" in text else ""

    page = _eventually(named, 30)
    assert "broken.jsonl" in page
    # both workers report
    assert "worker of" not in page
    assert "unknown" not in page


def test_a_schedule_is_made_changed_paused_and_removed(up: Workspace, capfd) -> None:
    place = ["-w", str(up.root), "--json"]
    for hour in (3, 4):
        timing = ["--cron", f"0 {hour} * * *", "--timezone", "Europe/Berlin"]
        assert run(["schedule", "add", "plant-b/asv", *timing, *place]) == 0
    assert run(["schedule", "pause", "plant-b/asv", *place]) == 0
    register_deployments(up, prefect_api(up))
    capfd.readouterr()
    run(["schedule", "list", *place])
    (found,) = json.loads(capfd.readouterr().out)
    assert (found["name"], found["cron"], found["timezone"], found["active"]) == (
        *("plant-b/asv", "0 4 * * *", "Europe/Berlin"), False,
    )  # fmt: skip
    assert run(["schedule", "remove", "plant-b/asv", *place]) == 0
    assert run(["schedule", "remove", "plant-b/asv", *place]) == 2


@pytest.mark.parametrize(
    ("cron", "zone", "reason"), [("bogus", "UTC", "expected minute hour day"), ("0 3 * * *", "Mars/Base", "Mars/Base")]
)
def test_a_schedule_that_cannot_be_read_is_refused(up: Workspace, capfd, cron, zone, reason) -> None:
    assert run(["schedule", "add", "all", "--cron", cron, "--timezone", zone, "-w", str(up.root)]) == 2
    assert reason in capfd.readouterr().err


def test_a_schedule_fires_and_a_worker_takes_the_run(up: Workspace) -> None:
    wanted = filters.FlowRunFilter(
        tags=filters.FlowRunFilterTags(all_=["plant-c/asr"]),
        start_time=filters.FlowRunFilterStartTime(is_null_=False),
    )
    with connect_prefect(up) as client:
        set_schedule(client, up, "plant-c/asr", "UTC", every=5)
        try:
            assert _eventually(lambda: client.read_flow_runs(flow_run_filter=wanted))
        finally:
            remove_schedule(client, up, "plant-c/asr")
        # what has not ended would give an alert to a channel of the next tests
        assert _eventually(
            lambda: all(run.state and run.state.is_final() for run in client.read_flow_runs(flow_run_filter=wanted))
        )


def test_a_run_that_meets_another_one_of_its_slot_goes_back_to_its_queue(up: Workspace) -> None:
    with connect_prefect(up) as client:
        deployment = find_deployment(client, "retrain", up)
        slot = {"slot": "plant-w/asr"}
        # in progress for Prefect, whatever machine it may be on
        first = client.create_flow_run_from_deployment(deployment.id, parameters=slot, state=Running(), name="first")
        second = start_run(client, up, "gate", slot, "second")
        assert _eventually(lambda: read_run(client, second.id).state == "AwaitingRetry")
        assert f"waits: the run first ({str(first.id)[:8]}) of plant-w/asr" in read_run(client, second.id).message
        # not crashed: it would be started again, and fail during a later test that counts alerts
        client.set_flow_run_state(first.id, Cancelled(message="dead"), force=True)
        # at once: its own pause is of twenty seconds
        client.set_flow_run_state(UUID(second.id), AwaitingRetry(), force=True)
        assert _eventually(lambda: read_run(client, second.id).ended)
        client.delete_flow_run(UUID(second.id))


def test_a_slot_that_migrates_has_one_run_until_that_has_ended(up: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"plant-m/asr": {"compute": {"gpu_memory": 20.0}}}
    settings = dataclasses.replace(up.settings, slots=own)
    monkeypatch.setattr(migrate_runs, "challenger_inputs", lambda *_: ("data/plant-m/asr/v1", settings))
    champion = AdapterVersion(Slot("plant-m", "asr"), 3, "", "", "")
    move = SlotMove(champion, "org/new", "sha256:1")
    with connect_prefect(up) as client:
        client.update_work_pool("elp-gpu", WorkPoolUpdate(is_paused=True))
        try:
            first = migrate_runs.run_of_move(client, up, move, {})
            # of a command that was killed, or runs at the same time
            assert migrate_runs.run_of_move(client, up, move, {}).id == first.id
            assert client.read_flow_run(UUID(first.id)).work_queue_name == "gpu-24"
            client.set_flow_run_state(UUID(first.id), Cancelled(), force=True)
            again = migrate_runs.run_of_move(client, up, move, {})
            later = migrate_runs.run_of_move(client, up, dataclasses.replace(move, backbone="org/newer"), {})
            assert len({first.id, again.id, later.id}) == 3
            for run_id in (first.id, again.id, later.id):
                client.delete_flow_run(UUID(run_id))
        finally:
            client.update_work_pool("elp-gpu", WorkPoolUpdate(is_paused=False))


@pytest.mark.slow
def test_a_late_run_looks_by_itself_whether_a_newer_one_is_due(up: Workspace) -> None:
    tag_slots(up, ["plant-z/asr"])
    before = (up.root / "elp.yaml").read_text()
    (up.root / "elp.yaml").write_text(f'{before}schedules: {{nightly: {{slots: "plant-z/*", cron: "0 2 * * *"}}}}\n')
    workspace, api = open_workspace(up.root), prefect_api(up)
    entries, now = workspace.settings.schedule_entries(), datetime.now(UTC).replace(microsecond=0)
    apply_schedules(workspace, api, entries, now)
    (one,) = [found for found in read_slot_deployments(up, api) if found.slot == "plant-z/asr"]
    starts = [now - timedelta(days=days) for days in (2, 1)] + [now + timedelta(days=1)]
    change_starts(api, one, one.declared[0], "nightly", starts)
    past = {"start_time": starts[0].isoformat(), "end_time": now.isoformat(), "min_runs": 9}
    prefect_request(f"{api}/deployments/{one.id}/schedule", past, timeout=60.0)
    wanted = {"flow_runs": {"tags": {"all_": ["plant-z/asr", "auto-scheduled"]}}, "sort": "EXPECTED_START_TIME_ASC"}

    def states() -> list[str]:
        found = prefect_request(f"{api}/flow_runs/filter", wanted, timeout=60.0)
        return [run["state_name"] for run in found if run["expected_start_time"] < now.isoformat()]

    # nothing was applied as far as the supervision knows: the runs themselves look
    assert _eventually(lambda: states()[:1] == ["Missed"] and states()[1] in ("Failed", "Completed")), states()
    delete_schedule(api, one, one.declared[0])
    (up.root / "elp.yaml").write_text(before)
    git(up.root, "tag", "-d", "data/plant-z/asr/v1")


@pytest.fixture
def hook(up: Workspace) -> Iterator[Receiver]:
    """A channel that gets everything."""
    with http_receiver() as receiver:
        assert run(["alerts", "add", "--webhook", receiver.url, "-w", str(up.root)]) == 0
        assert [message["title"] for message in receiver.got] == [f"[ELP {up.root.name}] test message"]
        receiver.got.clear()
        yield receiver
        assert run(["alerts", "remove", "webhook", "-w", str(up.root)]) == 0


@pytest.mark.slow
def test_an_event_that_prefect_holds_back_is_reported_all_the_same(up: Workspace, hook: Receiver) -> None:
    # it follows one that never comes, so no automation fires on it for 15 minutes
    alert = Alert(str(uuid4()), "elp.gate.refused", "refused", "", "the gate did not pass plant-h/asr v3")
    prefect_request(
        f"{prefect_api(up)}/events", [{**own_event(up, alert, server_now(prefect_api(up))), "follows": str(uuid4())}]
    )
    assert _eventually(lambda: _told(hook, alert.what))
    assert sum(_told(Receiver(got=[message]), alert.what) > 0 for message in hook.got) == 1, "reported once"


def test_an_event_of_a_paused_automation_is_not_reported(up: Workspace, hook: Receiver) -> None:
    alert = Alert(str(uuid4()), "elp.override.asked", "override", "", "someone asks for an override of plant-h/asr v3")
    # in whole seconds, as the time of the event
    begin = server_now(prefect_api(up))
    with connect_prefect(up) as client:
        (automation,) = client.read_automations_by_name(automation_name(up, "override"))
        client.pause_automation(automation.id)
        try:
            emit(up, prefect_api(up), [alert])

            def stored() -> list[tuple[bool, Alert]]:
                found = selected_events(up, prefect_api(up), begin, datetime.now(UTC))
                return [(active, one) for active, one in found if one.id == alert.id]

            ((active, found),) = _eventually(stored)
            assert (active, found.what) == (False, alert.what)
        finally:
            client.resume_automation(automation.id)


def _told(receiver: Receiver, what: str) -> int:
    """How often the messages say something; in a text of several alerts, each begins with a capital letter."""
    return sum((message["title"] + message["text"]).lower().count(what.lower()) for message in receiver.got)


def test_a_failed_run_is_reported_once_and_repeats_are_collected(up: Workspace, hook: Receiver, tmp_path: Path) -> None:
    source = tmp_path / "broken.jsonl"
    source.write_text("{not json\n")
    for _ in range(2):
        assert run(["retrain", "plant-f/asr", str(source), "-w", str(up.root)]) == 1

    # both may be taken in at once: the queue is written before the message of the first one is sent
    # runs of other tests may fail meanwhile
    def own() -> list[dict[str, Any]]:
        return [message for message in hook.got if "plant-f/asr" in message["title"] + message["text"]]

    assert _eventually(lambda: own() and channel_status(up)[0].collected == 1)
    (message,) = own()
    assert message["title"].startswith(f"[ELP {up.root.name}] ")
    assert "retrain plant-f/asr failed" in (message["title"] + message["text"]).lower()
    assert "Slot: plant-f/asr" in message["text"]
    assert "broken.jsonl" in message["text"]
    assert f"{prefect_pages(up, prefect_api(up))}/runs/flow-run/" in message["text"]


@pytest.mark.slow
def test_a_run_that_no_worker_takes_is_overdue(up: Workspace, hook: Receiver) -> None:
    with connect_prefect(up) as client:
        # as made, but for a shorter patience
        ensure_automations(client, up, set())
        ensure_automations(client, up, {"overdue"}, overdue=10.0)
        pool = "elp-gpu"
        client.update_work_pool(pool, WorkPoolUpdate(is_paused=True))
        try:
            made = start_run(client, up, "train", {"slot": "plant-g/asr"}, "train plant-g/asr", ["plant-g/asr"])
            assert _eventually(lambda: _told(hook, "train plant-g/asr is overdue"), 180)
        finally:
            client.delete_flow_run(UUID(made.id))
            client.update_work_pool(pool, WorkPoolUpdate(is_paused=False))


def test_an_override_in_the_ledger_reaches_people(up: Workspace, hook: Receiver) -> None:
    uri = mlflow_uri(up)
    made = register(Rest(uri), "elp.plant-h.asr", "one", lineage=load_trusted_keys(key_folder(up.state)))
    gate(Rest(uri), made, "failed", None, load_trusted_keys(key_folder(up.state)))
    assert _eventually(lambda: _told(hook, "the gate did not pass plant-h/asr v1"))
    assert _told(hook, f"{uri}/elp/slots/plant-h/asr?version=1")


def test_a_killed_worker_comes_back_and_is_reported_once(up: Workspace, hook: Receiver) -> None:
    before = {p.name: p for p in read_record(up).processes}
    killed = time.monotonic()
    os.kill(before["elp-cpu"].pid, signal.SIGKILL)
    assert _eventually(lambda: _process(up, "elp-cpu") not in (before["elp-cpu"], None), 20)
    assert time.monotonic() - killed < 20
    after = {p.name: p for p in read_record(up).processes}
    assert {name for name in after if after[name] != before[name]} == {"elp-cpu"}
    assert alive(after["elp-cpu"])
    assert _eventually(lambda: _told(hook, "the process elp-cpu has ended and is started again"))
    assert sum("elp-cpu" in message["text"] for message in hook.got) == 1
    assert run(["up", "-w", str(up.root)]) == 0


def _process(workspace: Workspace, name: str) -> Process | None:
    return read_record(workspace).find(name)


@pytest.mark.slow
def test_the_supervision_and_its_guard_start_each_other_again(up: Workspace) -> None:
    for name in (SUPERVISOR, GUARD):
        before = read_record(up).find(name)
        assert before
        os.kill(before.pid, signal.SIGKILL)

        def again(before: Process = before) -> bool:
            now = read_record(up).find(before.name)
            return now is not None and now != before and alive(now)

        assert _eventually(again, 60)


def test_the_run_of_a_killed_worker_continues(up: Workspace) -> None:
    # a flow that waits: it starts a child run on the training pool, which is paused
    with connect_prefect(up) as client:
        client.update_work_pool("elp-gpu", WorkPoolUpdate(is_paused=True))
        try:
            made = start_run(client, up, "retrain-all", {"slots": ["plant-i/asr"]}, "retrain all slots")
            children = filters.FlowRunFilter(name=filters.FlowRunFilterName(any_=["retrain plant-i/asr"]))
            assert _eventually(lambda: client.read_flow_runs(flow_run_filter=children))
            worker = _process(up, "elp-cpu")
            assert worker
            os.kill(worker.pid, signal.SIGKILL)
            assert _eventually(lambda: client.read_flow_run(UUID(made.id)).run_count == 2, 120)
            states = {state.type.value: state for state in client.read_flow_run_states(UUID(made.id))}
            assert "its process has ended" in str(states["CRASHED"].message)
            # it waits for the run that it had begun, in a new task run; the old one is closed
            of_it = filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[UUID(made.id)]))
            tasks = filters.TaskRunFilter(name=filters.TaskRunFilterName(any_=["retrain plant-i/asr"]))

            def task_states() -> list[str]:
                found = client.read_task_runs(task_run_filter=tasks, flow_run_filter=of_it)
                return sorted(task.state.type.value for task in found if task.state)

            assert _eventually(lambda: task_states() == ["CRASHED", "RUNNING"]), task_states()
            assert len(client.read_flow_runs(flow_run_filter=children)) == 1
        finally:
            for run_ in client.read_flow_runs(flow_run_filter=children):
                client.delete_flow_run(run_.id)
            client.update_work_pool("elp-gpu", WorkPoolUpdate(is_paused=False))
