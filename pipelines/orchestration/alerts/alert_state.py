"""One round of the supervision: ledger entries become events, firings become alerts, alerts go to the queues.

The file of the queues says how far Prefect and the ledger were read, so both change together: a process that is killed
between an event and its message sends the message at its next start. One that is killed after sending, and before the
file is written, sends it twice.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.errors import WorkspaceError
from pipelines.local import http_client as web
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.alert_channels import Channel, folder, private_folder
from pipelines.orchestration.alerts.alert_queue import Queue, accept
from pipelines.orchestration.alerts.automations import drop_begun, emit, firings, selected_events
from pipelines.orchestration.alerts.ledger_alerts import ledger_alerts, read_head
from pipelines.orchestration.slot_deployments import server_now

_OVERLAP = timedelta(minutes=10)
"""Prefect stores an event some seconds after it occurred, so the newest ones are read again."""
_SLOW = timedelta(seconds=30)
"""An event that fired on no automation after this long is taken in without one; this often they are looked for."""
_SEEN = 4000
_FAR = timedelta(days=6)
"""Prefect keeps events for a week."""


@dataclass(frozen=True)
class AlertState:
    """How far the sources were read, and what is to be sent."""

    since: float
    """Firings before this moment of Prefect's server were read: seconds since the epoch."""
    began: float = 0.0
    """What happened before this moment is of no interest."""
    checked: float = 0.0
    """When the events without a firing were looked for."""
    seen: tuple[str, ...] = ()
    """Alerts since then that were taken in, by id."""
    ledger: int | None = None
    """Number of the last ledger entry that was read; None if no server has answered yet."""
    queues: Mapping[str, Queue] = field(default_factory=dict)


def read_state(workspace: Workspace, since: float) -> AlertState:
    """Return the state; a new one begins at `since`, without what happened before. Raises WorkspaceError if damaged."""
    path = folder(workspace) / "state.json"
    try:
        return from_dict(AlertState, json.loads(path.read_text(encoding="utf-8")), "alerts")
    except FileNotFoundError:
        return AlertState(since, since)
    except (ValueError, TypeError, ConfigError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}); delete it: alerts then begin at that moment") from error


def has_state(workspace: Workspace) -> bool:
    """Return whether a look at the sources has left a state."""
    return (folder(workspace) / "state.json").is_file()


def write_state(workspace: Workspace, state: AlertState) -> None:
    """Write the state, whole or not at all."""
    path = private_folder(folder(workspace)) / "state.json"
    write_whole(path, json.dumps(to_dict(state)) + "\n", mode=0o600, durable=True)


def read_firings(
    workspace: Workspace, state: AlertState, channels: Mapping[str, Channel], api: str, now: float
) -> AlertState:
    """Return the state with what Prefect's automations selected since the last look. No answer raises OSError.

    An event on which no automation has fired in time is taken in, too, unless its automation is paused.
    """
    # events have the times of Prefect's server, and `since` is one of these; `began` is by the clock of this machine
    moment = server_now(api)
    at = moment.timestamp()
    # of an earlier version, and at the first look, it is later than `at` if the clock of this machine is ahead
    since, began = min(state.since, at), state.began - (now - at)
    begin = max(datetime.fromtimestamp(since, UTC) - _OVERLAP, datetime.fromtimestamp(began, UTC), moment - _FAR)
    seen, found = dict.fromkeys(state.seen), []
    for firing, alert in firings(workspace, api, begin, moment):
        if firing not in seen and alert.id not in seen:
            found.append(alert)
        # an alert of two firings is one alert
        seen |= {firing: None, alert.id: None}
    found = drop_begun(workspace, api, found)
    checked = state.checked
    if abs(now - checked) >= _SLOW.total_seconds():
        checked = now
        for active, alert in selected_events(workspace, api, begin, moment - _SLOW):
            if active and alert.id not in seen:
                found.append(alert)
            seen[alert.id] = None
    # without news the file is written when the events are looked for, not at every look
    since = at if found or checked != state.checked else state.since
    return replace(take_in(state, channels, found, now), since=since, checked=checked, seen=tuple(seen)[-_SEEN:])


def follow_ledger(workspace: Workspace, state: AlertState, api: str, mlflow: str) -> AlertState:
    """Send what is new in the ledger to Prefect, so that its automations decide; return the state after it.

    No answer of one of the two raises OSError; entries that were sent are then sent again, which changes nothing.
    """
    if state.ledger is None:
        # an entry since the first channel was added is reported, though this is the first look
        # its moments are by the clock of the MLflow server, `began` is by that of this machine
        ahead = time.time() - web.date_of(f"{mlflow}/health").timestamp()
        state = replace(state, ledger=read_head(workspace, mlflow, state.began - ahead if state.began else math.inf))
    for seq, alerts in ledger_alerts(workspace, mlflow, state.ledger or 0):
        emit(workspace, api, alerts)
        state = replace(state, ledger=seq)
    return state


def queue_of(state: AlertState, channel: Channel) -> Queue:
    """Return the queue of a channel; an empty one if it has none yet."""
    found = state.queues.get(channel.name)
    if found is None or found.added != channel.added:
        return Queue(added=channel.added)
    if found.tried and channel.changed > found.tried:
        # what failed was the channel as it was before: it is tried again at once
        return replace(found, failures=0, tried=0.0, retry_at=0.0, error="")
    return found


def take_in(state: AlertState, channels: Mapping[str, Channel], alerts: Iterable[Alert], now: float) -> AlertState:
    """Return the state with alerts in the queues of the channels that get their kind."""
    queues = {name: queue_of(state, channel) for name, channel in channels.items()}
    for alert in {alert.id: alert for alert in alerts}.values():
        for name, channel in channels.items():
            if alert.kind in channel.on:
                queues[name] = accept(queues[name], alert, now)
    return replace(state, queues=queues)
