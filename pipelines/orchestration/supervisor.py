"""The supervision of `elp up`: start again what has ended, end dead runs, start crashed runs again, send the alerts.

    python -m pipelines.orchestration.supervisor

is started by `elp up` and ended by `elp down`. It uses the standard library for its requests and never imports
Prefect: it has to stay small and to outlive the processes that it watches.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from elp_core.errors import OpsError
from elp_core.types import Seconds
from pipelines.local import lifecycle, supervision
from pipelines.local.addresses import mlflow_uri, prefect_api, read_record
from pipelines.local.interrupted_runs import local_workers
from pipelines.local.supervision import SUPERVISOR, Ends
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.alerts.alert import EVENTS, Alert
from pipelines.orchestration.alerts.alert_channels import Channel, folder, read_channels
from pipelines.orchestration.alerts.alert_state import (
    AlertState,
    follow_ledger,
    has_state,
    read_firings,
    read_state,
    take_in,
    write_state,
)
from pipelines.orchestration.alerts.deliver import deliver
from pipelines.orchestration.inbox_watch import watch_inboxes
from pipelines.orchestration.operation_metrics import EVERY, watch_figures
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.reaper import Reaper, reap
from pipelines.orchestration.schedule_watch import ScheduleWatch, watch_schedules

_EVERY: Seconds = 1.0
_ALERTS_EVERY: Seconds = 5.0
_LEDGER_EVERY: Seconds = 20.0
"""Each look is a line in the log of the MLflow server."""
_ABANDONED: Seconds = 60.0
"""After this long without a place in the record of `elp up`, the process ends."""
_HANGS: Seconds = 600.0
"""A thread that has run for longer than this is logged."""
_HANGING = f"has not ended for {_HANGS / 60:.0f} minutes; a folder or a server that it reads may not answer"
_FIRST_LOOK: Seconds = 60.0
"""A new state begins with the addition of its channels, if that is not longer ago than this."""


@dataclass
class Watch:
    """What the loop knows between two rounds."""

    workspace: Workspace
    known: bool = False
    """Whether the record of `elp up` names this process."""
    ends: dict[str, Ends] = field(default_factory=dict)
    reaper: Reaper | None = None
    """The reaper of flow runs, from the first round on."""
    news: list[Alert] = field(default_factory=list)
    """Alerts about processes that no queue has yet."""
    ledger_read: float = float("-inf")
    """When the ledger was read last, by the monotonic clock."""
    threads: dict[str, threading.Thread] = field(default_factory=dict)
    """The newest thread of each part that has threads."""
    begun: dict[str, float] = field(default_factory=dict)
    """When it began, by the monotonic clock."""
    reported: set[str] = field(default_factory=set)
    """Alerts about full disks that were made, by id."""
    applied: ScheduleWatch = field(default_factory=ScheduleWatch)
    """What the rounds of the schedules remember."""
    faults: dict[str, str] = field(default_factory=dict)
    """The last fault of each part, so that the log has it once."""


def main() -> None:
    """Watch until `elp down` ends this process, or the record of `elp up` has another one."""
    watch = Watch(open_workspace())
    watch.ends = supervision.read_ends(watch.workspace)
    known = checked = time.monotonic()
    while True:
        watch.known = False
        attempt(watch, "record", find_myself)
        if watch.known:
            known = time.monotonic()
            attempt(watch, "processes", supervise_processes)
            # not for another supervision that is in the record now: each message would be sent twice
            if time.monotonic() - checked >= _ALERTS_EVERY:
                checked = time.monotonic()
                attempt(watch, "runs", supervise_runs)
                start_part(watch, "alerts", supervise_alerts)
                start_part(watch, "inboxes", supervise_inboxes, watch.workspace.settings.inbox.poll)
                start_part(watch, "figures", supervise_figures, EVERY)
                start_part(watch, "schedules", supervise_schedules)
        elif watch.faults["record"]:
            known = time.monotonic()
        elif time.monotonic() - known > _ABANDONED:
            return
        time.sleep(_EVERY)


def find_myself(watch: Watch) -> None:
    """Note whether the record of `elp up` names this process as the supervision."""
    me = read_record(watch.workspace).find(SUPERVISOR) if watch.workspace.root.is_dir() else None
    watch.known = me is not None and me.pid == os.getpid()


def attempt(watch: Watch, part: str, work: Callable[[Watch], None]) -> None:
    """Do one part of a round. A fault is logged when it is new: the next round tries again."""
    try:
        work(watch)
    # of any kind: the next round and the other parts must not end with it
    except Exception as error:
        note_fault(watch, part, error)
    else:
        note_fault(watch, part, None)


def note_fault(watch: Watch, part: str, error: Exception | None) -> None:
    """Log the fault of a part if it is new, and its end."""
    fault = f"{type(error).__name__}: {error}" if error else ""
    if fault and watch.faults.get(part) != fault:
        say(f"{part}: {fault}; trying again")
    elif not fault and watch.faults.get(part):
        say(f"{part}: works again")
    watch.faults[part] = fault


def supervise_processes(watch: Watch) -> None:
    """Start again each server and worker that has ended and may be started now."""
    workspace, now = watch.workspace, time.time()
    record = read_record(workspace)
    ends = supervision.note_ends(record, watch.ends, now)
    if ends != watch.ends:
        for name, end in ends.items():
            before = watch.ends.get(name, Ends(0, ()))
            if end.pid != before.pid:
                say(f"{name} {end.text}")
                # not a message each minute
                if not (before.too_often and end.too_often):
                    watch.news.append(_ended(workspace, name, end, now))
        watch.ends = ends
        supervision.write_ends(workspace, ends)
    for process in supervision.due(record, ends, now):
        try:
            lifecycle.start_again(workspace, process, say)
        except Exception as error:
            # one that cannot be started does not hold up the others
            note_fault(watch, process.name, error)
        else:
            note_fault(watch, process.name, None)


def supervise_runs(watch: Watch) -> None:
    """End the runs that are dead, and start crashed ones again."""
    workspace = watch.workspace
    if watch.reaper is None:
        watch.reaper = Reaper(workspace, ("elp", deployment_name(workspace)), watch.news.append, say)
    workers = local_workers(workspace, read_record(workspace))
    reap(watch.reaper, prefect_api(workspace), workers, time.monotonic())


def start_part(watch: Watch, part: str, work: Callable[[Watch], None], every: Seconds = 0.0) -> None:
    """Do one part of a round in a separate thread when it is time, unless its last thread is alive.

    A receiver that hangs takes a minute, hundreds of schedules as well, and a network file system may not answer at
    all: an ended server must not wait for them. A thread that does not end is logged once.
    """
    present, passed = watch.threads.get(part), time.monotonic() - watch.begun.get(part, float("-inf"))
    if present is None or not present.is_alive():
        if passed >= every:
            watch.begun[part] = time.monotonic()
            watch.threads[part] = threading.Thread(target=attempt, args=(watch, part, work), daemon=True)
            watch.threads[part].start()
    elif passed > _HANGS and watch.faults.get(part) != _HANGING:
        watch.faults[part] = _HANGING
        say(f"{part}: {_HANGING}")


def supervise_inboxes(watch: Watch) -> None:
    """Look at the inboxes with the settings of now, start runs for what arrived, and clean the logs of requests."""
    workspace = open_workspace(watch.workspace.root)
    counts = watch_inboxes(workspace, lambda: prefect_api(workspace), say)
    if (workspace.state / "requests").is_dir():
        # it imports numpy, which this process else does without
        from pipelines.request_log.log_file import clean_logs

        clean_logs(workspace.state, lambda slot: workspace.settings.for_slot(slot).requests)
    if counts.faults:
        raise OpsError("; ".join(counts.faults.values()))


def supervise_figures(watch: Watch) -> None:
    """Collect the figures for the metrics of the server, and report a disk that is almost full."""
    watch_figures(watch.workspace, lambda: prefect_api(watch.workspace), watch.ends, watch.reported, watch.news.append)


def supervise_schedules(watch: Watch) -> None:
    """End the late runs that do not start, and make the schedules of new slots."""
    workspace = watch.workspace
    watch_schedules(workspace, watch.applied, lambda: prefect_api(workspace), say)


def supervise_alerts(watch: Watch) -> None:
    """Take in what happened, and send what is due."""
    workspace = watch.workspace
    # further news may come while this round runs
    news = tuple(watch.news)

    def own_news(watch: Watch, state: AlertState, channels: Mapping[str, Channel]) -> AlertState:
        return take_in(state, channels, news, time.time())

    channels = read_channels(workspace)
    if not channels:
        # a channel that is added later does not get what happened before
        (folder(workspace) / "state.json").unlink(missing_ok=True)
        del watch.news[: len(news)]
        return
    # no event of Prefect or entry of the ledger between a channel's addition and this first look is lost
    added = min(channel.added for channel in channels.values())
    state = read_state(workspace, max(added, time.time() - _FIRST_LOOK))
    if not has_state(workspace):
        # kept from now on: servers that do not answer for minutes must not move the beginning
        write_state(workspace, state)
    # one source that is silent does not hold up the others; what this process saw itself needs neither
    for source in (own_news, _firings, _ledger):
        try:
            after = source(watch, state, channels)
        except Exception as error:
            note_fault(watch, source.__name__.strip("_"), error)
            continue
        note_fault(watch, source.__name__.strip("_"), None)
        if after != state:
            write_state(workspace, after)
            state = after
    del watch.news[: len(news)]
    deliver(workspace, state, channels, say)


def _firings(watch: Watch, state: AlertState, channels: Mapping[str, Channel]) -> AlertState:
    return read_firings(watch.workspace, state, channels, prefect_api(watch.workspace), time.time())


def _ledger(watch: Watch, state: AlertState, channels: Mapping[str, Channel]) -> AlertState:
    if time.monotonic() - watch.ledger_read < _LEDGER_EVERY:
        return state
    watch.ledger_read = time.monotonic()
    return follow_ledger(watch.workspace, state, prefect_api(watch.workspace), mlflow_uri(watch.workspace))


def _ended(workspace: Workspace, name: str, end: Ends, now: float) -> Alert:
    event = "elp.process.given-up" if end.too_often else "elp.process.restarted"
    what = f"the process {name} {'ends again and again' if end.too_often else 'has ended and is started again'}"
    log = workspace.state / "logs" / f"{name}.log"
    step = f"read {log}" if end.too_often else f"nothing, if it stays up; its log: {log}"
    return Alert(
        id=str(uuid.uuid4()), event=event, kind=EVENTS[event], at=datetime.fromtimestamp(now, UTC).isoformat(),
        what=what, reason=end.text, next_step=step,
    )  # fmt: skip


def say(text: str) -> None:
    """Write a line to the log of the supervision."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    main()
