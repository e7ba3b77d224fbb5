"""A round of the supervision: one part that fails does not hold up the others, and the log says it once."""

from __future__ import annotations

import http.client
import os
import threading
import time

import pytest

from pipelines.local.addresses import Record, write_record
from pipelines.local.processes import Process
from pipelines.local.supervision import SUPERVISOR
from pipelines.local.workspace import Workspace
from pipelines.orchestration import supervisor
from pipelines.orchestration.alerts.alert_channels import Channel, folder, put_channel, read_channels
from pipelines.orchestration.alerts.alert_state import read_state
from pipelines.orchestration.alerts.channel_status import channel_status
from pipelines.orchestration.supervisor import (
    Watch,
    attempt,
    find_myself,
    start_part,
    supervise_alerts,
    supervise_processes,
)
from tests.support.receivers import http_receiver

DEAD = Process("elp-gpu", 2**22 - 1, 1.0, "/nowhere/elp-gpu.log")


@pytest.fixture
def watch(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(supervisor.lifecycle, "start_again", lambda *_: None)
    write_record(workspace, Record((DEAD,)))
    return Watch(workspace)


def test_an_ended_process_is_reported_though_prefect_and_mlflow_are_down(watch: Watch, capsys) -> None:
    with http_receiver() as receiver:
        put_channel(watch.workspace, Channel("hook", "webhook", url=receiver.url))
        for _ in range(2):
            attempt(watch, "processes", supervise_processes)
            attempt(watch, "alerts", supervise_alerts)
    (message,) = receiver.got
    assert message["title"].endswith("the process elp-gpu has ended and is started again")
    said = capsys.readouterr().out
    assert said.count("the prefect server of") == 2, "once for the firings and once for the ledger"
    assert channel_status(watch.workspace)[0].waiting == 0


def test_servers_that_do_not_answer_for_minutes_do_not_move_the_beginning(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_channel(watch.workspace, Channel("hook", "webhook", url="http://127.0.0.1:9/hook"))
    added, now = read_channels(watch.workspace)["hook"].added, time.time()
    attempt(watch, "alerts", supervise_alerts)
    monkeypatch.setattr(supervisor.time, "time", lambda: now + 600)
    attempt(watch, "alerts", supervise_alerts)
    assert read_state(watch.workspace, now + 600).began == added


def test_a_receiver_that_hangs_does_not_hold_up_the_supervision(watch: Watch) -> None:
    with http_receiver() as receiver:
        put_channel(watch.workspace, Channel("hook", "webhook", url=receiver.url))
        receiver.delay = 5.0
        attempt(watch, "processes", supervise_processes)
        start_part(watch, "alerts", supervise_alerts)
        sending = watch.threads["alerts"]
        start_part(watch, "alerts", supervise_alerts)
        assert watch.threads["alerts"] is sending, "one round at a time"
        write_record(watch.workspace, Record((Process("elp-cpu", DEAD.pid - 1, 1.0, DEAD.log),)))
        attempt(watch, "processes", supervise_processes)
        assert sending.is_alive()
        sending.join()
        receiver.delay = 0.0
        start_part(watch, "alerts", supervise_alerts)
        watch.threads["alerts"].join()
    text = "".join(message["title"] + message["text"] for message in receiver.got)
    assert {
        text.count(f"the process {name} has ended and is started again") > 0 for name in ("elp-gpu", "elp-cpu")
    } == {True}
    assert channel_status(watch.workspace)[0].collected == 0, "each of them is taken in once"


def test_a_part_that_hangs_is_logged_once_and_its_end_too(watch: Watch, capsys) -> None:
    answers, done = threading.Event(), []

    def look(_: Watch) -> None:
        answers.wait()
        done.append(1)

    for passed in (0.0, 500.0, 150.0, 10.0):
        watch.begun["inboxes"] = watch.begun.get("inboxes", time.monotonic()) - passed
        start_part(watch, "inboxes", look)
    said = capsys.readouterr().out.splitlines()
    assert [line[20:] for line in said] == [
        "inboxes: has not ended for 10 minutes; a folder or a server that it reads may not answer"
    ]
    answers.set()
    watch.threads["inboxes"].join()
    assert capsys.readouterr().out.endswith("inboxes: works again\n")
    start_part(watch, "inboxes", look, every=3600.0)
    watch.begun["inboxes"] -= 3600.0
    start_part(watch, "inboxes", look, every=3600.0)
    watch.threads["inboxes"].join()
    assert len(done) == 2, "each when it is time"


def test_a_process_that_ends_again_and_again_is_two_messages(watch: Watch) -> None:
    put_channel(watch.workspace, Channel("hook", "webhook", url="http://127.0.0.1:9/x"))
    for number in range(10):
        write_record(watch.workspace, Record((Process("elp-gpu", DEAD.pid - number, 1.0, DEAD.log),)))
        attempt(watch, "processes", supervise_processes)
    assert watch.ends["elp-gpu"].too_often
    assert [alert.event for alert in watch.news].count("elp.process.given-up") == 1
    attempt(watch, "alerts", supervise_alerts)
    (shown,) = channel_status(watch.workspace)
    assert (shown.waiting, shown.collected) == (2, 4)


def test_without_a_channel_nothing_is_kept_for_a_later_one(watch: Watch) -> None:
    attempt(watch, "processes", supervise_processes)
    attempt(watch, "alerts", supervise_alerts)
    assert watch.news == []
    assert not (folder(watch.workspace) / "state.json").exists()


def test_a_fault_is_logged_once_and_its_end_too(watch: Watch, capsys) -> None:
    works = iter([False, False, True, True])

    def part(_: Watch) -> None:
        if not next(works):
            raise OSError("no answer")

    for _ in range(4):
        attempt(watch, "part", part)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(time.strftime("%Y"))[2][16:] for line in said] == [
        "part: OSError: no answer; trying again",
        "part: works again",
    ]


@pytest.mark.parametrize("fault", [http.client.IncompleteRead(b""), AttributeError("x"), RuntimeError("x")])
def test_no_fault_ends_the_supervision(watch: Watch, capsys, fault: Exception) -> None:
    def part(_: Watch) -> None:
        raise fault

    attempt(watch, "part", part)
    assert type(fault).__name__ in capsys.readouterr().out


def test_one_process_that_cannot_be_started_does_not_hold_up_the_others(watch: Watch, monkeypatch, capsys) -> None:
    asked = []

    def start_again(_: Workspace, process: Process, log: object) -> None:
        asked.append(process.name)
        if process.name == "mlflow":
            raise PermissionError("the accounts cannot be read")

    monkeypatch.setattr(supervisor.lifecycle, "start_again", start_again)
    write_record(watch.workspace, Record((Process("mlflow", DEAD.pid - 1, 1.0, "", "http://127.0.0.1:1"), DEAD)))
    for _ in range(2):
        attempt(watch, "processes", supervise_processes)
    assert asked == ["mlflow", "elp-gpu"] * 2
    assert capsys.readouterr().out.count("mlflow: PermissionError: the accounts cannot be read") == 1


def test_a_supervision_that_another_one_has_replaced_does_nothing(watch: Watch) -> None:
    for pid, known in ((os.getpid(), True), (DEAD.pid, False)):
        write_record(watch.workspace, Record((Process(SUPERVISOR, pid, 1.0, ""),)))
        find_myself(watch)
        assert watch.known is known
    (watch.workspace.state / "servers.json").unlink()
    find_myself(watch)
    assert not watch.known
