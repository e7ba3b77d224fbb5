"""Events of the operation: their texts, and that the same one is reported once."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts import automations
from pipelines.orchestration.alerts.alert import EVENTS, KINDS, event_alert
from pipelines.orchestration.alerts.operation_alerts import operation_alert, report

OPERATION = (
    "elp.fault.healed",
    "elp.worker.lost",
    "elp.disk.low",
    "elp.schedule.missed",
    "elp.inbox.refused",
)


@pytest.mark.parametrize("event", OPERATION)
def test_every_event_of_the_operation_says_what_happened_and_what_to_do(event: str) -> None:
    made = operation_alert(event, "1", subject="gpu-3:GPU-7", slot="plant-a/asr", reason="no answer\nfor 2 minutes")
    assert made.kind in KINDS
    assert "gpu-3:GPU-7" in made.what or "plant-a/asr" in made.what
    assert "{" not in made.what + made.next_step
    assert made.next_step
    assert made.reason == "no answer for 2 minutes"


def test_the_same_event_is_one_alert_and_another_key_another_one() -> None:
    first, again, other = (operation_alert("elp.disk.low", key, subject="/data") for key in ("a", "a", "b"))
    assert first.id == again.id != other.id
    assert operation_alert("elp.worker.lost", "a", subject="/data").id != first.id


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(UsageError, match="no event of the operation"):
        operation_alert("elp.disk.full", "1")


def test_a_report_is_an_event_that_comes_back_as_its_alert(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(automations, "prefect_request", lambda url, body, timeout: sent.append((url, body)))
    report(workspace, "http://p/api", "elp.inbox.refused", "k", subject="monday", slot="plant-a/asr", reason="no audio")
    ((url, (event,)),) = sent
    assert url == "http://p/api/events"
    back = event_alert(event, "http://p")
    assert back
    assert (back.kind, back.slot, back.reason) == (EVENTS["elp.inbox.refused"], "plant-a/asr", "no audio")
    assert back.what == "a delivery in the inbox of plant-a/asr was refused: monday"
