from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from pipelines.cli import run_verbs
from pipelines.cli.main import run
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import FollowedRun
from pipelines.orchestration.workspace_runs import LogLine

STARTED = "2026-01-01T10:20:30Z"
DONE = FollowedRun(
    "3f9a" + "0" * 28, "retrain plant-a/asr", "Refused", "COMPLETED", "worse\nmore", "http://ui/1", STARTED, 250.0
)
GOING = FollowedRun("7c00" + "0" * 28, "train b/asv", "Running", "RUNNING", "", "http://ui/2")


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(run_verbs, "connect_prefect", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(run_verbs, "workspace_runs", lambda client, workspace, slot: iter([GOING, DONE]))
    monkeypatch.setattr(run_verbs, "find_run", lambda client, workspace, word: {"3f9a": DONE, "7c": GOING}[word])
    monkeypatch.setattr(run_verbs, "run_log", lambda *_: [LogLine("2026-01-01T10:20:31+00:00", "warning", "odd")])
    monkeypatch.setattr(run_verbs, "follow", lambda client, run, pool, log, show: asked.update(pool=pool) or log("new"))

    def cancel(client: Any, found: FollowedRun, message: str) -> list[FollowedRun]:
        asked["message"] = message
        return [FollowedRun(found.id, found.name, "Cancelled", "CANCELLED", message, "")]

    monkeypatch.setattr(run_verbs, "cancel_run", cancel)
    return asked


def _elp(workspace: Workspace, *words: str) -> int:
    return run([*words, "-w", str(workspace.root)])


def test_runs_are_listed_with_short_ids_and_their_end(workspace: Workspace, prefect, capfd) -> None:
    assert _elp(workspace, "runs") == 0
    assert capfd.readouterr().out.splitlines() == [
        "run       name                 state    started (UTC)     took",
        "7c000000  train b/asv          Running  —                 —           —",
        "3f9a0000  retrain plant-a/asr  Refused  2026-01-01 10:20  4 min 10 s  worse",
    ]
    assert _elp(workspace, "runs", "--limit", "1", "--json") == 0
    assert [found["id"] for found in json.loads(capfd.readouterr().out)] == [GOING.id]


def test_a_log_is_printed_and_followed_on_stdout(workspace: Workspace, prefect, capfd) -> None:
    assert _elp(workspace, "logs", "3f9a") == 0
    assert capfd.readouterr() == ("10:20:31  warning: odd\n", "")
    assert _elp(workspace, "logs", "3f9a", "--json") == 0
    assert json.loads(capfd.readouterr().out)[0]["level"] == "warning"
    assert _elp(workspace, "logs", "7c", "-f") == 0
    assert capfd.readouterr() == ("new\n", "")
    assert prefect["pool"] == "elp-gpu"
    assert _elp(workspace, "logs", "7c", "-f", "--json") == 2


def test_a_run_is_cancelled_for_the_record(workspace: Workspace, prefect, monkeypatch, capfd) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert _elp(workspace, "cancel", "7c", "--reason", "wrong data") == 0
    assert capfd.readouterr().out == "train b/asv (7c000000): Cancelled\n"
    assert prefect["message"] == "cancelled by ann: wrong data"


def test_a_run_that_ended_first_is_not_called_cancelled(workspace: Workspace, prefect, monkeypatch, capfd) -> None:
    monkeypatch.setattr(run_verbs, "cancel_run", lambda *_: [DONE])
    assert _elp(workspace, "cancel", "3f9a") == 1
    assert "ended as Refused before it could be cancelled" in capfd.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_down_asks_if_something_runs(workspace: Workspace, monkeypatch, capfd, terminal: bool) -> None:
    monkeypatch.setattr("pipelines.local.runs_in_progress.runs_in_progress", lambda _: ["retrain plant-a/asr"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert _elp(workspace, "down") == (130 if terminal else 2)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "1 run in progress: retrain plant-a/asr" in shown.err
    assert ("elp down --yes" in shown.err) is not terminal
    assert _elp(workspace, "down", "--yes") == 0
    shown = capfd.readouterr()
    assert shown.out == "nothing was running\n"
    assert "1 run in progress: retrain plant-a/asr; stopped as Crashed" in shown.err
