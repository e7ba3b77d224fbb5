"""The schedules under an earlier address, without a server."""

from __future__ import annotations

import pytest

from pipelines.local.workspace import Workspace
from pipelines.orchestration import former_schedules
from pipelines.orchestration.catch_up import LateRun
from pipelines.orchestration.former_schedules import end_due_runs


def test_the_alert_about_a_due_run_is_sent_before_the_run_ends(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in between loses no alert: the run is still found, and its alert has the same id."""
    sent: list[str] = []
    monkeypatch.setattr(former_schedules, "read_late_runs", lambda *given: [LateRun("x", "a/asr", 1.0, None)])
    monkeypatch.setattr(former_schedules, "emit", lambda workspace, api, alerts: sent.append(alerts[0].id))
    monkeypatch.setattr(former_schedules, "set_missed", lambda *given: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            end_due_runs(workspace, "file:///nowhere/old.git", "http://127.0.0.1:9/api", "a/asr", "retrain")
    assert len(sent) == 2
    assert sent[0] == sent[1]
