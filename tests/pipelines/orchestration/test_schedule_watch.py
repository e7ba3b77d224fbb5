"""The round of the schedules, without Prefect: when it plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.local.workspace import Workspace
from pipelines.orchestration import schedule_watch
from pipelines.orchestration.schedule_apply import ScheduleDiff, write_applied
from pipelines.orchestration.schedule_watch import ScheduleWatch, watch_schedules
from tests.support.pretended_prefect import answering


def test_starts_are_planned_after_the_moment_of_the_server(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that is ten minutes ahead, the starts of these ten minutes were dropped at each renewal."""
    planned: list[datetime] = []

    def apply(workspace: Workspace, api: str, entries: object, now: datetime) -> ScheduleDiff:
        planned.append(now)
        return ScheduleDiff(())

    monkeypatch.setattr(schedule_watch, "apply_schedules", apply)
    monkeypatch.setattr(schedule_watch, "end_late_runs", lambda *given: None)
    write_applied(workspace)
    with answering(lambda path, query, body: (200, True), lambda: -600.0) as api:
        watch_schedules(workspace, ScheduleWatch(), lambda: api, print)
    assert timedelta(seconds=590) < datetime.now(UTC) - planned[0] < timedelta(seconds=630)
