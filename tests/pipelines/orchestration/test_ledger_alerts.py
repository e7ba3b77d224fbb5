"""What the ledger of a real server gives: a refusal with its reason, a drift, every kind of override."""

from __future__ import annotations

import os
import time
import urllib.error
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest

from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts import alert_state
from pipelines.orchestration.alerts import ledger_alerts as reader
from pipelines.orchestration.alerts.alert import EVENTS, Alert
from pipelines.orchestration.alerts.alert_state import AlertState, follow_ledger
from pipelines.orchestration.alerts.ledger_alerts import _OVERRIDES, _entry_alerts, ledger_alerts, read_head
from pipelines.registry.ledger.entry import LedgerEntry, Principal
from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.rest import Rest
from tests.support.versions_by_hand import evidence, gate, promote, register, state, upload, verdict_on


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "plant", Settings())


@pytest.mark.integration
def test_a_refusal_and_a_drift_are_read_from_the_ledger(mlflow_uri: str, here: Workspace) -> None:
    rest, keys = Rest(mlflow_uri), load_trusted_keys(Path(os.environ["ELP_KEYS"]))
    before = read_head(here, mlflow_uri)
    first, second = (register(rest, "elp.plant-al.asr", mark, lineage=keys) for mark in ("one", "two"))
    gate(rest, first, "passed", None, keys)
    promote(rest, first)
    upload(rest, second.evidence, evidence(second))
    worse = replace(verdict_on(second, "failed", first), champion=0.2, delta=0.1)
    state(rest, second, worse.payload, keys, "verdict")
    read = list(ledger_alerts(here, mlflow_uri, before))
    found = [alert for _, alerts in read for alert in alerts if alert.slot == "plant-al/asr"]
    assert [alert.event for alert in found] == ["elp.gate.refused", "elp.drift"]
    refused, drift = found
    assert refused.what == "the gate did not pass plant-al/asr v2"
    assert worse.details
    assert refused.reason == worse.details.reasons[0]
    assert refused.link == f"{mlflow_uri}/elp/slots/plant-al/asr?version=2"
    assert drift.reason == "wer was 8.0 % when it was promoted and is 20.0 % now, more than the margin of 2.0 %"
    # read again it is the same event: Prefect and the queues know it by its id
    assert [alert.id for _, alerts in ledger_alerts(here, mlflow_uri, before) for alert in alerts] == [
        alert.id for _, alerts in read for alert in alerts
    ]


@pytest.mark.integration
def test_an_entry_between_the_first_channel_and_the_first_look_is_reported(
    mlflow_uri: str, here: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, keys = Rest(mlflow_uri), load_trusted_keys(Path(os.environ["ELP_KEYS"]))
    register(rest, "elp.plant-early.asr", "before", lineage=keys)
    added = time.time()
    for mark in ("one", "two"):
        gate(rest, register(rest, "elp.plant-late.asr", mark, lineage=keys), "failed", None, keys)
    sent: list[Alert] = []
    monkeypatch.setattr(alert_state, "emit", lambda workspace, api, alerts: sent.extend(alerts))
    # pages of one entry: the moment may be some pages back
    for page in (1, 100):
        monkeypatch.setattr(reader, "_PAGE", page)
        sent.clear()
        done = follow_ledger(here, AlertState(added, added), "http://prefect", mlflow_uri)
        assert done.ledger == read_head(here, mlflow_uri)
        found = [alert.what for alert in sent if alert.slot in ("plant-late/asr", "plant-early/asr")]
        assert found == ["the gate did not pass plant-late/asr v1", "the gate did not pass plant-late/asr v2"]
    # a machine whose clock is an hour ahead of the server's
    sent.clear()
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda real=time.time: real() + 3600.0)
        follow_ledger(here, AlertState(added, added + 3600.0), "http://prefect", mlflow_uri)
    assert [alert.what for alert in sent if alert.slot == "plant-late/asr"] == found
    # a look when nothing happened since; the server's clock gives whole seconds
    sent.clear()
    nothing = AlertState(added, time.time() + 1.0)
    assert follow_ledger(here, nothing, "http://prefect", mlflow_uri).ledger == done.ledger
    assert sent == []


@pytest.mark.parametrize("event", list(_OVERRIDES))
def test_every_step_of_an_override_names_who_and_what(event: str, here: Workspace) -> None:
    entry = LedgerEntry(
        5, "0" * 64, "2026-11-28T10:00:00.000000+00:00", event, "plant-a/asr", 1, 2, "",
        Principal("anna", True, ""), "the line stands still",
    )  # fmt: skip
    (alert,) = _entry_alerts(here, "http://mlflow", entry)
    assert isinstance(alert, Alert)
    assert (alert.kind, alert.slot, alert.reason) == ("override", "plant-a/asr", "the line stands still")
    assert alert.event in EVENTS
    assert "plant-a/asr" in alert.what
    assert "elp " in alert.next_step


def test_other_entries_are_no_alerts(here: Workspace) -> None:
    entry = LedgerEntry(
        5, "0" * 64, "2026-11-28T10:00:00Z", "promoted", "plant-a/asr", 1, 2, "", Principal("a", True, ""), ""
    )
    assert _entry_alerts(here, "http://mlflow", entry) == []


def test_a_record_that_the_server_cannot_read_costs_the_reason_and_not_the_alert(here: Workspace, monkeypatch) -> None:
    def refuse(_: Workspace, mlflow: str, route: str) -> None:
        raise urllib.error.HTTPError(mlflow + route, 404 if "statements" in route else 400, "no", Message(), None)

    monkeypatch.setattr(reader, "_get", refuse)
    entry = LedgerEntry(
        5, "0" * 64, "2026-11-28T10:00:00Z", "gated", "plant-a/asr", None, 2, "", Principal("a", True, ""), "",
        statements=("f" * 64,), detail={"outcome": "failed"},
    )  # fmt: skip
    (alert,) = _entry_alerts(here, "http://mlflow", entry)
    assert (alert.what, alert.reason) == ("the gate did not pass plant-a/asr v2", "")
