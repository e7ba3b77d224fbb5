"""Make Prefect's schedules those of `elp.yaml`: the difference first, then the changes.

What was applied last is in `.elp/schedules.json`. The supervision makes Prefect so again when a slot gets its first
data, when dates run out, and after an apply that was interrupted; every step may be done twice.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from elp_core.errors import ConfigError, OpsError
from elp_core.files import write_whole
from pipelines.datasets.data_slots import slots_with_data
from pipelines.errors import ServiceError, UsageError, VersioningError, WorkspaceError
from pipelines.inbox.slot_inbox import inbox_slots
from pipelines.local.former_addresses import drop_former_addresses, note_address
from pipelines.local.git import current_branch
from pipelines.local.git_server import fetch_branch
from pipelines.local.gpu_need import slot_queue
from pipelines.local.schedule_settings import SCHEDULED_FLOWS, ScheduleEntry, entry_of, read_entries
from pipelines.local.service_commands import workspace_queue
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.orchestration.former_schedules import end_former, former_deployments
from pipelines.orchestration.schedule_plan import dates_ahead, planned_starts
from pipelines.orchestration.slot_deployments import (
    DeploymentSchedule,
    SlotDeployment,
    add_starts,
    change_starts,
    delete_schedule,
    make_deployment,
    read_slot_deployments,
    read_template,
)
from pipelines.registry.slot import Slot

APPLIED_FILE = "schedules.json"
_FORMAT = 1

ChangeKind = Literal["added", "changed", "removed", "unchanged", "kept"]


@dataclass(frozen=True)
class ScheduleChange:
    """What an apply does with one schedule."""

    slot: str
    kind: ChangeKind
    """``kept`` is the schedule of a person, which an apply does not touch."""
    entry: str = ""
    """Entry of `elp.yaml`, or of the last apply for a removed one."""
    was: str = ""
    """The entry before, if it is another one."""
    next_start: str = ""
    """First start, UTC, ISO 8601."""
    paused: bool = False
    """A person paused it; it stays so."""
    timing: str = ""
    """Of the schedule of a person."""
    flow: str = "retrain"
    """``retrain`` or ``monitor``."""


@dataclass(frozen=True)
class ScheduleDiff:
    """The difference between `elp.yaml` and Prefect."""

    changes: tuple[ScheduleChange, ...]
    empty: tuple[str, ...] = ()
    """Entries that match no slot with data yet."""
    unread: str = ""
    """Why the inboxes could not be read: schedules stay, and no slot that has only an inbox gets one."""
    never: tuple[str, ...] = ()
    """Slots whose entry has no start within nine years, because each would be on a day without starts."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of schedules of each kind."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in ("added", "changed", "removed", "unchanged", "kept")}

    @property
    def nothing(self) -> bool:
        """Whether an apply changes nothing."""
        return not any(self.counts[kind] for kind in ("added", "changed", "removed"))


@dataclass(frozen=True)
class _Step:
    """A change, and how it is made."""

    change: ScheduleChange
    deployment: SlotDeployment | None
    starts: tuple[datetime, ...] = ()
    surplus: tuple[DeploymentSchedule, ...] = ()
    """Schedules of `elp.yaml` to be deleted."""
    renew: bool = False
    """Prefect has the right dates, and soon too few of them."""


def slots_to_retrain(workspace: Workspace, unread: Callable[[str], None]) -> list[Slot]:
    """Return every slot that has a dataset version, also at the Git address of the workspace, or an inbox, by name.

    `unread` is given the reason if the inboxes cannot be read: the slots with data do not depend on them.
    """
    if workspace.settings.git:
        # without an answer, those that are known here
        with contextlib.suppress(ServiceError, VersioningError, WorkspaceError):
            fetch_branch(workspace, current_branch(workspace.root))
    inboxes: list[Slot] = []
    try:
        inboxes = inbox_slots(workspace)
    except (OpsError, OSError) as error:
        unread(str(error))
    return sorted({*slots_with_data(workspace.root), *inboxes}, key=str)


def plan_apply(workspace: Workspace, api: str, entries: Sequence[ScheduleEntry], now: datetime) -> ScheduleDiff:
    """Return what an apply of these entries would do. No answer raises OSError."""
    return _steps(workspace, api, entries, now, former_deployments(workspace, api))[1]


def apply_schedules(
    workspace: Workspace,
    api: str,
    entries: Sequence[ScheduleEntry],
    now: datetime,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ScheduleDiff:
    """Make Prefect's schedules those of the entries, and return what was changed. No answer raises OSError."""
    with file_lock(workspace.state / "schedules.lock"):
        # before the first schedule is made, so that a later address finds it
        note_address(workspace)
        former = former_deployments(workspace, api)
        steps, diff = _steps(workspace, api, entries, now, former)
        work = [step for step in steps if step.renew or step.change.kind in ("added", "changed", "removed")]
        templates: dict[str, dict[str, Any]] = {}
        for done, step in enumerate(work):
            progress(done, len(work))
            change = step.change
            if step.deployment is None and change.flow not in templates:
                templates[change.flow] = read_template(workspace, api, change.flow)
            before = former.pop((change.slot, change.flow), [])
            paused = any(one.paused for one in before)
            if not paused:
                # just before its successor: no start is lost in between, and none is there twice
                end_former(workspace, api, before)
            _carry_out(workspace, api, step, templates, active=not paused)
            if paused:
                # it starts nothing; until now, an interrupted move finds the pause here
                end_former(workspace, api, before)
        for left in former.values():
            end_former(workspace, api, left)
        # a step that was done shows that `elp up` has registered the deployments under the present address
        if work:
            drop_former_addresses(workspace)
        progress(len(work), len(work))
        return diff


def _carry_out(
    workspace: Workspace, api: str, step: _Step, templates: Mapping[str, dict[str, Any]], active: bool
) -> None:
    change = step.change
    if step.deployment is None:
        slot = Slot.parse(change.slot)
        retrain = change.flow == "retrain"
        queue = slot_queue(workspace.settings, [slot]) if retrain else workspace_queue(workspace)
        make_deployment(api, templates[change.flow], slot, queue, change.entry, step.starts, active)
        return
    for schedule in step.surplus:
        delete_schedule(api, step.deployment, schedule)
    if change.kind == "added":
        add_starts(api, step.deployment, change.entry, step.starts, active)
    elif change.kind != "removed":
        change_starts(api, step.deployment, step.deployment.declared[0], change.entry, step.starts)


def write_applied(workspace: Workspace) -> None:
    """Note what `elp.yaml` says now as the text that is applied."""
    settings = workspace.settings
    content = {"format": _FORMAT, "schedules": settings.schedules, "calendars": settings.calendars}
    # YAML reads a day as a date; as text it is what the file says
    write_whole(workspace.state / APPLIED_FILE, json.dumps(content, indent=2, default=str) + "\n")


def read_applied(workspace: Workspace) -> tuple[ScheduleEntry, ...] | None:
    """Return the entries that were applied last; None if none ever were. Raises WorkspaceError for a damaged file."""
    path = workspace.state / APPLIED_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != _FORMAT:
            raise UsageError(f"{path} has format {raw['format']}, this elp reads {_FORMAT}")
        return read_entries(raw["schedules"], raw["calendars"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError, UsageError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); write it again with: elp schedule apply") from error


def _steps(
    workspace: Workspace,
    api: str,
    entries: Sequence[ScheduleEntry],
    now: datetime,
    former: Iterable[tuple[str, str]],
) -> tuple[list[_Step], ScheduleDiff]:
    faults: list[str] = []
    slots = set(slots_to_retrain(workspace, faults.append))
    present = {(one.slot, one.flow): one for one in read_slot_deployments(workspace, api)}
    if faults:
        # the slot of a schedule, also of one that is yet to move, may have nothing but an inbox
        slots |= {Slot.parse(slot) for slot, _ in [*former, *(key for key, one in present.items() if one.declared)]}
    by_key: dict[tuple[str, str], ScheduleEntry] = {
        (str(slot), flow): entry
        for slot in slots
        for flow in SCHEDULED_FLOWS
        if (entry := entry_of(entries, slot, flow))
    }
    starts: dict[tuple[str, str], tuple[datetime, ...]] = {}
    for entry in entries:
        own = [Slot.parse(slot) for (slot, _), of_slot in by_key.items() if of_slot is entry]
        starts |= {(str(slot), entry.flow): found for slot, found in planned_starts(entry, own, now).items()}
    names = {key: entry.name for key, entry in by_key.items()}
    steps: list[_Step] = []
    for key in sorted(present.keys() | names.keys()):
        steps += _slot_steps(key, names.get(key, ""), starts.get(key, ()), present.get(key), now)
    matched = set(names.values())
    never = tuple(key[0] for key in sorted(names) if not starts[key])
    empty = tuple(entry.name for entry in entries if entry.name not in matched)
    return steps, ScheduleDiff(tuple(step.change for step in steps), empty, "".join(faults), never)


def _slot_steps(
    key: tuple[str, str], entry: str, starts: tuple[datetime, ...], present: SlotDeployment | None, now: datetime
) -> Iterable[_Step]:
    slot, flow = key
    declared = present.declared if present else ()
    given = dates_ahead(starts, now)
    first = starts[0].isoformat().replace("+00:00", "Z") if starts else ""
    if starts and not declared:
        yield _Step(ScheduleChange(slot, "added", entry, next_start=first, flow=flow), present, given)
    elif starts:
        kept, *surplus = declared
        ahead = [start for start in kept.starts or () if start > now]
        right = kept.starts is not None and ahead == list(starts[: len(ahead)]) and kept.entry == entry
        few = len(ahead) * 2 < len(given)
        # a list that has run out is like one that is right so far
        kind: ChangeKind = "unchanged" if right and not surplus else "changed"
        was = "" if kept.entry == entry else kept.entry
        change = ScheduleChange(slot, kind, entry, was, first, not kept.active, flow=flow)
        yield _Step(change, present, given, tuple(surplus), renew=few)
    elif declared:
        yield _Step(ScheduleChange(slot, "removed", declared[0].entry, flow=flow), present, surplus=declared)
    for schedule in present.schedules if present else ():
        if not schedule.entry:
            kept_one = ScheduleChange(slot, "kept", paused=not schedule.active, timing=schedule.timing, flow=flow)
            yield _Step(kept_one, present)
