"""A server reports to the console, and neither fails nor waits if that is away."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.errors import ServiceError, UsageError
from pipelines.registry.delivery.serving_report import ServingReport, host_name_of, read_serving_report
from pipelines.registry.slot import Slot
from pipelines.serving.http import presence_reporter
from pipelines.serving.http.presence_reporter import known_to_console
from pipelines.serving.presence import ConsolePresence
from tests.support.speech_server import wait_until


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(presence_reporter, "_LOOK", 0.01)
    monkeypatch.setattr(presence_reporter, "_END", 0.2)
    served = SimpleNamespace(versions=[SimpleNamespace(slot="plant-a/asr", version=1, digest="sha256:1")])
    service = SimpleNamespace(served=served, batcher=SimpleNamespace(queued=(3, 1.0)))
    follower = SimpleNamespace(state=SimpleNamespace(problems={}, updates_stopped=""))
    return SimpleNamespace(service=service, follower=follower, metrics=SimpleNamespace(refused=2))


def test_a_console_that_is_away_is_named_once_and_gets_what_changes(parts: Any) -> None:
    taken, said, away = list[ServingReport](), list[str](), [True]

    def send(report: ServingReport) -> None:
        if away:
            raise ServiceError("nobody there")
        taken.append(report)

    def change(version: int) -> None:
        parts.service.served.versions[0].version = version

    with known_to_console(parts, ConsolePresence("ws-1:8400", ("plant-a",), "http://console", send), said.append):
        wait_until(lambda: said)
        change(2)
        time.sleep(0.05)
        assert said == ["the console at http://console does not show this server: nobody there"]
        away.clear()
        change(3)
        wait_until(lambda: taken)
        parts.follower.state.problems = {Slot("plant-a", "asr"): "version 4 cannot be loaded" + "!" * 400}
        wait_until(lambda: len(taken) == 2)
    assert said[1:] == ["the console at http://console shows this server again"]
    assert [(one.serving[0].version, one.ended) for one in taken] == [(3, False), (3, False), (3, True)]
    assert taken[1].problems[0].startswith("plant-a/asr: version 4 cannot be loaded")
    assert (taken[1].waiting, taken[1].refused, len(taken[1].problems[0])) == (3, 2, 300)


def test_the_end_of_a_server_does_not_wait_for_a_console_that_hangs(parts: Any) -> None:
    hangs, began = threading.Event(), time.monotonic()
    presence = ConsolePresence("ws-1:8400", (), "http://console", lambda _: hangs.wait(60) and None)
    with known_to_console(parts, presence, lambda _: None):
        pass
    assert not hangs.is_set()
    assert time.monotonic() - began < 30
    hangs.set()


@pytest.mark.parametrize("machine", ["press-3", "Büro PC_", "", "a" * 300, "..x.."])
def test_a_machine_of_any_name_may_report(machine: str) -> None:
    values = {"host": host_name_of(machine, 8400), "at": "2026-07-01T09:00:00+00:00", "sites": [], "serving": []}
    assert read_serving_report(values).host.endswith(":8400")
    with pytest.raises(UsageError, match="is no name of a server"):
        read_serving_report({**values, "host": f"<b>{machine}"})
