"""Late runs after an outage, and one run of a slot at a time: the rules, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.local.schedule_settings import read_entries
from pipelines.local.workspace import Workspace
from pipelines.orchestration import catch_up
from pipelines.orchestration.catch_up import LateRun, missed_count, missed_runs, of_entry, outage_at
from pipelines.orchestration.slot_turn import earlier_run

NOW = 1_000_000.0
HOUR = 3600.0


def _late(name: str, hours: float, noticed: float | None = 15.0, slot: str = "a/asr", flow: str = "retrain") -> LateRun:
    """A run that was due some hours ago, and marked as late so many seconds after that."""
    due = NOW - hours * HOUR
    return LateRun(name, slot, due, None if noticed is None else due + noticed, flow)


def _missed(
    late: list[LateRun], policy: str = "newest", worker_seen: float = NOW, looks_seen: float = NOW
) -> list[str]:
    policies = {(slot, flow): policy for slot in ("a/asr", "b/asr") for flow in ("retrain", "monitor")}
    seen = {"retrain": worker_seen, "monitor": looks_seen}
    return [run.id for run, _ in missed_runs(late, policies, NOW, seen)]


def test_only_the_newest_late_run_of_each_slot_starts() -> None:
    late = [_late("1", 48), _late("3", 1), _late("2", 24), _late("other", 30, slot="b/asr")]
    assert _missed(late) == ["1", "2"]
    # a look that is due replaces no retraining, and is replaced by none
    assert _missed([*late, _late("look", 0.5, flow="monitor"), _late("old", 2, flow="monitor")]) == ["1", "2", "old"]
    assert _missed(late[1:2]) == []
    assert _missed([]) == []


def test_a_slot_that_no_entry_names_any_more_is_left_alone() -> None:
    assert missed_runs([_late("1", 48), _late("2", 24)], {}, NOW, {"retrain": NOW}) == []


def test_skip_starts_no_run_of_an_outage_and_every_run_that_only_waits() -> None:
    waits = _late("waits for a worker", 5)
    server = _late("the server was down", 3, noticed=2 * HOUR)
    unmarked = _late("the server is just up", 2, noticed=None)
    assert _missed([waits], "skip") == []
    assert _missed([server], "skip") == ["the server was down"]
    assert _missed([unmarked], "skip") == ["the server is just up"]
    assert _missed([_late("just due", 0.01, noticed=None)], "skip") == []
    # no worker for six hours: what was due then; what waited before that waits on
    assert _missed([waits], "skip", worker_seen=NOW - 6 * HOUR) == ["waits for a worker"]
    assert _missed([waits], "skip", worker_seen=NOW - HOUR) == []
    # of several that only wait, the newest
    assert _missed([waits, _late("newer", 1)], "skip") == ["waits for a worker"]


def test_each_flow_has_the_workers_of_its_own_pool() -> None:
    both = [_late("training", 5), _late("look", 5, flow="monitor")]
    assert _missed(both, "skip", worker_seen=NOW - 6 * HOUR) == ["training"]
    assert _missed(both, "skip", looks_seen=NOW - 6 * HOUR) == ["look"]


@pytest.mark.parametrize(
    ("run", "seen", "text"),
    [
        (_late("x", 1, noticed=600.0), NOW, "Prefect was not up"),
        (_late("x", 1), NOW - 2 * HOUR, "no worker was up"),
        (_late("x", 1), NOW, ""),
    ],
)
def test_the_outage_is_named(run: LateRun, seen: float, text: str) -> None:
    found = outage_at(run, NOW, seen)
    assert found.startswith(text)
    assert bool(found) == bool(text)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_differs_from_the_one_of_the_server_drops_no_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    (entry,) = read_entries({"hourly": {"slots": "*/*", "cron": "0 * * * *", "catch_up": "skip"}}, {})
    here = datetime.now(UTC)
    for at_server in (here + timedelta(hours=hours, seconds=second) for second in (0, 10)):
        due = at_server.timestamp() - 5
        monkeypatch.setattr(catch_up, "server_now", lambda api, now=at_server: now)
        monkeypatch.setattr(catch_up, "_worker_is_up", lambda api, pool: True)
        monkeypatch.setattr(catch_up, "read_late_runs", lambda *_, due=due: [LateRun("x", "a/asr", due, None)])
        # no run is set to Missed, and no start is searched that was never planned: both would ask the server
        catch_up.end_late_runs(workspace, "http://127.0.0.1:9/api", [entry], pytest.fail)
    seen = json.loads((workspace.state / "schedules-seen.json").read_text())
    assert set(seen.values()) == {at_server.timestamp()}


def test_only_runs_of_elp_yaml_are_judged() -> None:
    run: dict[str, Any] = {
        "created_by": {"type": "SCHEDULE", "display_value": "elp-nightly"}, "parameters": {"slot": "a/asr"},
    }  # fmt: skip
    assert of_entry(run)
    assert not of_entry({**run, "created_by": {"type": "SCHEDULE", "display_value": "CronSchedule"}})
    assert not of_entry({**run, "created_by": None})
    assert not of_entry({**run, "parameters": {}})


def test_a_run_can_stand_for_many_missed_starts() -> None:
    assert missed_count({"tags": ["elp", "missed:57"]}) == 57
    assert missed_count({"tags": ["elp", "missed:many"]}) == 1
    assert missed_count({"tags": []}) == 1


AT = datetime(2026, 1, 1, 0, 1, tzinfo=UTC).timestamp()


def _run(name: str, state: str, at: str) -> dict[str, Any]:
    return {"id": name, "name": name, "state": {"type": state, "timestamp": f"2026-01-01T00:00:{at}+00:00"}}


def test_of_runs_of_one_slot_that_are_in_progress_the_first_one_goes_on() -> None:
    runs = [_run("a", "RUNNING", "01"), _run("b", "RUNNING", "02"), _run("c", "PENDING", "00")]
    assert earlier_run(runs, "a", AT) is None
    first = earlier_run(runs, "b", AT)
    assert first is not None
    assert first["id"] == "a"
    # a run that is being cancelled still works
    assert earlier_run([_run("a", "CANCELLING", "01"), runs[1]], "b", AT) is not None
    # the same moment: by id, so that exactly one of them goes on
    same = [_run("x", "RUNNING", "05"), _run("y", "RUNNING", "05")]
    assert [earlier_run(same, name, AT) is None for name in ("x", "y")] == [True, False]
    # the clock of the server was set back while `b` was at work: `a` does not run next to it
    assert earlier_run([_run("a", "RUNNING", "01"), _run("b", "RUNNING", "59")], "a", AT - 59) is not None
    # not in the list yet: it has begun last
    assert earlier_run(runs, "new", AT) is not None
    assert earlier_run([runs[2]], "new", AT) is None
