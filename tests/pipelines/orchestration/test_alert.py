"""An event of Prefect becomes one alert: which slot, why, where to look, what next; in plain text."""

from __future__ import annotations

import pytest

from pipelines.orchestration.alerts.alert import EVENTS, KINDS, Alert, event_alert, plain_text

RUN = {
    "id": "e1",
    "occurred": "2026-11-28T10:00:00Z",
    "resource": {
        "prefect.resource.id": "prefect.flow-run.0a1b",
        "prefect.resource.name": "retrain plant-a/asr",
        "prefect.state-message": "DataRefused: too few speakers\nline 2",
    },
    "related": [{"prefect.resource.id": f"prefect.tag.{tag}"} for tag in ("elp", "plant", "plant-a/asr")],
}


def test_a_failed_run_says_what_why_where_and_what_next() -> None:
    found = event_alert({**RUN, "event": "prefect.flow-run.Failed"}, "http://127.0.0.1:4200")
    assert found
    assert (found.kind, found.what, found.slot) == ("failed", "retrain plant-a/asr failed", "plant-a/asr")
    assert found.reason == "DataRefused: too few speakers line 2"
    assert found.link == "http://127.0.0.1:4200/runs/flow-run/0a1b"
    assert found.next_step


@pytest.mark.parametrize("event", [name for name in EVENTS if name.startswith("prefect.")])
def test_every_event_of_a_run_has_its_sentence(event: str) -> None:
    found = event_alert({**RUN, "event": event}, "http://here")
    assert found
    assert found.kind in KINDS
    assert "retrain plant-a/asr" in found.what


@pytest.mark.parametrize("event", ["prefect.flow-run.Completed", "", "elp.unknown"])
def test_other_events_are_no_alerts(event: str) -> None:
    assert event_alert({**RUN, "event": event}, "http://here") is None


def test_an_event_of_our_own_comes_back_as_it_was() -> None:
    sent = Alert(
        "7", "elp.drift", "drift", "2026-11-28T10:00:00Z", "worse", "plant-a/asr", "5 %", "http://x", "retrain"
    )
    event = {"id": "7", "event": "elp.drift", "occurred": sent.at, "resource": {}, "payload": sent.payload()}
    assert event_alert(event, "http://here") == sent


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\r\nBcc: all@plant.lan", "a Bcc: all@plant.lan"),
        ("\x1b[31mred\x00", "[31mred"),
        ("{{url}}", "{ {url} }"),
        ("\u202eevil", "evil"),
        ("x" * 10_000, "x" * 598 + " …"),
        (None, "None"),
        ("会議", "会議"),
    ],
)
def test_text_from_elsewhere_is_one_line_without_marks(given: object, shown: str) -> None:
    assert plain_text(given) == shown
