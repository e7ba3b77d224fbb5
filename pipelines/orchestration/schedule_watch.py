"""The supervision's looks at the schedules: late runs after an outage, new slots, new dates. Imports no Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from elp_core.types import Seconds
from pipelines.local.schedule_settings import ScheduleEntry
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.catch_up import end_late_runs
from pipelines.orchestration.schedule_apply import (
    apply_schedules,
    read_applied,
    slots_to_retrain,
)
from pipelines.orchestration.slot_deployments import server_now
from pipelines.registry.slot import Slot

_EVERY: Seconds = 60.0
"""Time between two looks for new slots: a new slot is scheduled within this time."""


@dataclass
class ScheduleWatch:
    """What the supervision remembers between two looks."""

    made_for: tuple[tuple[ScheduleEntry, ...], tuple[Slot, ...], int] | None = None
    """Entries, slots and hour for which the schedules were made last."""
    unread: str = ""
    """Why the inboxes could not be read at the last look, so that the log has it once."""
    looked: float = float("-inf")
    """When it was looked for new slots last, by the monotonic clock."""


def watch_schedules(
    workspace: Workspace,
    watch: ScheduleWatch,
    api: Callable[[], str],
    say: Callable[[str], None],
) -> None:
    """Apply the rule about late runs, and make the schedules that were applied for the slots of now.

    `api` returns the address of Prefect's API; it is asked only if schedules were applied. No answer raises OSError.
    """
    entries = read_applied(workspace)
    if entries is None:
        return
    end_late_runs(workspace, api(), entries, say)
    if time.monotonic() - watch.looked < _EVERY:
        return
    watch.looked = time.monotonic()
    # the inboxes may have changed; and once an hour, too, so that dates do not run out
    now = open_workspace(workspace.root)
    faults: list[str] = []
    present = (entries, tuple(slots_to_retrain(now, faults.append)), int(time.time() // 3600))
    if (unread := "".join(faults)) != watch.unread:
        watch.unread = unread
        say(
            f"schedules: slots that have only an inbox are not seen: {unread}"
            if unread
            else "schedules: inboxes are read"
        )
    if present != watch.made_for:
        address = api()
        diff = apply_schedules(now, address, entries, server_now(address))
        if not diff.nothing:
            say(f"schedules as they were applied: {', '.join(f'{n} {kind}' for kind, n in diff.counts.items() if n)}")
        watch.made_for = present
