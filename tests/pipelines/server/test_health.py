"""What the first page says of the whole: what needs a person comes first, and what is unknown is said."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pipelines.registry.delivery.box_report import RunningAdapter
from pipelines.registry.delivery.serving_report import ServingReport
from pipelines.registry.slot import Slot
from pipelines.server.read_models import flow_health
from pipelines.server.read_models.flow_health import FlowHealth, FlowRun, read_flow_health, unresolved
from pipelines.server.read_models.grid import Cell, Grid
from pipelines.server.read_models.health import HealthItem, health_items
from pipelines.server.read_models.serving_hosts import HostCount, count_hosts, reported_hosts
from pipelines.server.read_models.site_boxes import ReportedBox
from pipelines.server.storage.serving_rows import SERVING, ServingRow, put_serving_row, serving_rows

NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)
QUIET = Cell(
    slot=Slot("plant-a", "asr"), champion=SimpleNamespace(version=1), judged=None, since="", contender=None, verdict="",
    stale=False, drift=None, override=None, run=None, newest=(NOW - timedelta(days=2)).isoformat(),
)  # fmt: skip


GOOD = FlowHealth()


def _items(*cells: Cell, flows: FlowHealth = GOOD, disks: tuple[Path, ...] = ()) -> list[HealthItem]:
    return health_items(Grid(cells, ()), flows, disks, NOW)


def _run(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"id": f"{name}-{state}", "name": name, "state_name": state, "state": {"message": "why"}, **more}


def test_nothing_is_said_if_all_is_well() -> None:
    assert _items(QUIET) == []


@pytest.mark.parametrize(
    ("change", "urgency", "text"),
    [
        ({"verdict": "passed"}, "act", "1 challenger passed and waits for a decision"),
        ({"verdict": "passed", "stale": True}, "watch", "1 challenger passed against an older champion: gate again"),
        ({"verdict": "not gated"}, "watch", "1 version not gated yet"),
        ({"champion": None}, "watch", "1 slot without a champion"),
        ({"newest": (NOW - timedelta(days=31)).isoformat()}, "watch", "1 slot without a new version for 30 days"),
        ({"override": SimpleNamespace(in_force=False)}, "act", "1 override waits for a second person"),
    ],
)
def test_a_slot_is_named_with_what_it_needs(change: dict[str, Any], urgency: str, text: str) -> None:
    (item,) = _items(QUIET, replace(QUIET, slot=Slot("plant-b", "asv"), **change))
    assert (item.urgency, item.text, item.slots) == (urgency, text, (Slot("plant-b", "asv"),))


def test_an_override_in_force_waits_for_nobody() -> None:
    assert _items(replace(QUIET, override=SimpleNamespace(in_force=True))) == []


def test_many_slots_are_counted_and_the_first_are_named() -> None:
    (item,) = _items(*(replace(QUIET, slot=Slot(f"plant-{n}", "asr"), verdict="passed") for n in range(20)))
    assert item.text == "20 challengers passed and wait for a decision"
    assert (len(item.slots), item.more) == (8, 12)


def test_what_a_person_has_to_do_comes_first_and_what_is_unknown_last() -> None:
    flows = FlowHealth(unknown="Prefect does not answer")
    found = _items(replace(QUIET, champion=None), replace(QUIET, verdict="passed"), flows=flows)
    assert [item.urgency for item in found] == ["act", "watch", "unknown"]


def test_workers_and_runs_are_named_with_the_page_that_says_more() -> None:
    runs = (
        FlowRun("retrain plant-a/asr", "Crashed", "the process ended", "", "http://prefect/runs/1"),
        FlowRun("retrain plant-b/asr", "Refused", "no better", "", "http://prefect/runs/2"),
    )
    found = _items(flows=FlowHealth(runs, ("elp-gpu",), "", "http://prefect"))
    assert [(item.urgency, item.text, item.detail, item.href) for item in found] == [
        ("act", "no worker of elp-gpu reports", "start it with: elp up", "http://prefect"),
        ("act", "retrain plant-a/asr crashed", "the process ended", "http://prefect/runs/1"),
        ("watch", "retrain plant-b/asr was refused by the gate", "no better", "http://prefect/runs/2"),
    ]


@pytest.mark.parametrize("state", flow_health.BAD_ENDS)
def test_every_bad_end_is_found_and_has_its_sentence(state: str) -> None:
    (item,) = _items(flows=FlowHealth(unresolved([_run("retrain plant-a/asr", state)], "http://prefect")))
    assert (item.urgency, item.detail) == ("act", "why")
    assert item.text.startswith("retrain plant-a/asr ")


def test_a_hundred_bad_runs_are_counted_not_listed() -> None:
    runs = tuple(FlowRun(f"retrain plant-{n}/asr", "Failed", "", "", "") for n in range(100))
    found = _items(flows=FlowHealth(runs, (), "", "http://prefect"))
    assert len(found) == 9
    assert found[-1].text == "92 more runs did not end well"


def test_a_full_disk_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    usage = SimpleNamespace(total=100 * 1024**3, used=0, free=9 * 1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    (item,) = _items(disks=(tmp_path, tmp_path / "other"))
    assert (item.urgency, item.detail) == ("act", "9.0 of 100 GiB are free")


def test_a_later_run_that_ended_well_makes_a_failure_good() -> None:
    runs = [
        _run("retrain plant-a/asr", "Completed"),
        _run("retrain plant-a/asr", "Failed"),
        _run("monitor plant-a/asr", "Alarm"),
        _run("monitor plant-a/asr", "Failed"),
        _run("retrain plant-b/asr", "Late", expected_start_time="2026-07-01T03:00:00Z"),
        _run("retrain plant-b/asr", "Crashed", start_time="2026-06-30T03:00:00Z"),
        _run("retrain plant-b/asr", "Failed"),
    ]
    found = unresolved(runs, "http://prefect")
    assert [(run.name, run.state, run.at) for run in found] == [
        ("retrain plant-b/asr", "Late", "2026-07-01T03:00:00Z"),
        ("retrain plant-b/asr", "Crashed", "2026-06-30T03:00:00Z"),
    ]


def test_the_reason_is_the_message_of_the_error_alone() -> None:
    message = "Flow run encountered an exception: IntakeError: a.csv has no column text"
    (found,) = unresolved([_run("ingest plant-a/asr", "Failed") | {"state": {"message": message}}], "")
    assert found.reason == "a.csv has no column text"


def test_boxes_are_named_with_what_they_serve_and_should() -> None:
    box = ReportedBox("press-3", "plant-a", "differs", ("asr v1",), ("asr v2", "ser –"), "2026-06-30", "0.1.0", "")
    boxes = [replace(box, name="gate-1", state="silent"), replace(box, name="lift-2", state="refused"), box]
    found = health_items(Grid((QUIET,), ()), GOOD, (), NOW, [*boxes, replace(box, name="hall-7", state="same")])
    assert [(item.urgency, item.text.split()[2], item.detail, item.href) for item in found] == [
        ("act", "refused", "lift-2 (plant-a)", "#boxes"),
        ("watch", "has", "gate-1 (plant-a)", "#boxes"),
        ("watch", "serves", "press-3 (plant-a: asr v1 → asr v2, ser –)", "#boxes"),
    ]


def test_serving_hosts_are_counted_and_named_with_what_they_should_answer_with() -> None:
    bundles = {version: f"sha256:{version}{'0' * 63}" for version in (1, 2)}
    champions: Any = {
        "plant-a/asr": SimpleNamespace(version=2, bundle_digest=bundles[2]),
        "plant-b/asr": SimpleNamespace(version=1, bundle_digest=bundles[1]),
    }

    def row(host: str, sites: tuple[str, ...], minutes: float, **serves: int) -> ServingRow:
        serving = tuple(RunningAdapter(f"plant-{site}/asr", v, bundles[v]) for site, v in serves.items())
        seen = (NOW - timedelta(minutes=minutes)).isoformat()
        return ServingRow("ann", ServingReport(host, seen, sites, serving), seen)

    engine = sa.create_engine("sqlite://")
    SERVING.create(engine)
    with Session(engine) as session:
        for one in (
            row("all:8400", (), 1, a=2, b=1),
            row("own:8400", ("plant-b",), 4, b=1),
            row("old:8400", ("plant-a",), 0, a=1),
            row("gone:8400", ("plant-a",), 6, a=2),
            # it still serves a slot whose champion was retired
            row("more:8400", ("plant-b",), 1, b=1, c=1),
        ):
            put_serving_row(session, one)
        session.commit()
    with engine.connect() as registry:
        found = reported_hosts(registry, champions, NOW)
    assert [(host.name, host.state, host.differing) for host in found] == [
        ("gone:8400", "lost", ()),
        ("more:8400", "differs", ("plant-c/asr –",)),
        ("old:8400", "differs", ("plant-a/asr v2",)),
        ("all:8400", "same", ()),
        ("own:8400", "same", ()),
    ]
    assert count_hosts(found) == HostCount(5, 4, 2)
    items = health_items(Grid((QUIET,), ()), GOOD, (), NOW, hosts=found)
    assert [(item.urgency, item.text, item.detail, item.href) for item in items] == [
        ("act", "1 serving host has not reported for five minutes", "gone:8400", "#serving"),
        ("watch", "2 serving hosts answer with another version than the champion",
         "more:8400 (→ plant-c/asr –), old:8400 (→ plant-a/asr v2)", "#serving"),
    ]  # fmt: skip
    # a day after the last of these reports, only a new one counts
    with Session(engine) as session:
        later = replace(row("new:8400", (), -24 * 60 - 1), seen_at=(NOW + timedelta(days=1, minutes=1)).isoformat())
        put_serving_row(session, later)
        assert [one.report.host for one in serving_rows(session)] == ["new:8400"]


@pytest.fixture
def _not_asked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_health, "_last", flow_health._Answer())


@pytest.mark.usefixtures("_not_asked_yet")
def test_a_server_that_does_not_know_prefect_says_so() -> None:
    assert "PREFECT_API_URL" not in os.environ
    assert "PREFECT_API_URL" in read_flow_health(NOW).unknown


@pytest.mark.usefixtures("_not_asked_yet")
def test_a_prefect_that_is_down_or_silent_is_said_to_be_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/api")
        first = read_flow_health(NOW)
    assert "does not answer (ReadTimeout)" in first.unknown
    assert read_flow_health(NOW) is first


@contextmanager
def _prefect(answer: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that says the same whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("PREFECT_API_URL", f"{address}/api")
        yield address
        server.shutdown()


@pytest.mark.usefixtures("_not_asked_yet")
@pytest.mark.parametrize("answer", ["{}", "[1]", "null", '[{"name": "elp-gpu"}]', "<html>"])
def test_another_program_at_prefect_s_address_breaks_no_page(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    with _prefect(answer, monkeypatch) as address:
        assert f"at {address} " in read_flow_health(NOW).unknown


@pytest.mark.usefixtures("_not_asked_yet")
def test_a_prefect_without_our_pools_has_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with _prefect("[]", monkeypatch):
        assert read_flow_health(NOW).idle_pools == ("elp-cpu", "elp-gpu")
