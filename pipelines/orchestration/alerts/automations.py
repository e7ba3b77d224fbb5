"""The automations in Prefect that select events, one for each kind of alert, and events of our own.

An automation does nothing itself: Prefect sends each notification once, without a retry, a pause or a digest. The
supervision reads the firings and sends. An automation that a person pauses in Prefect's pages stays paused, and a
changed time of the one that waits stays, too.

An event that Prefect stored and that no automation fired on in time is read from its events: Prefect holds an event
that overtakes the one before it for 15 minutes, and forgets those in its memory if it is killed. An event that an
edited automation no longer selects is read as well. Checked with 3.8.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from elp_core.types import Seconds
from pipelines.local.addresses import prefect_pages
from pipelines.local.prefect_request import prefect_request
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert import EVENTS, KINDS, Alert, event_alert
from pipelines.orchestration.overdue_runs import LATE, LEAVES_LATE, OVERDUE
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.slot_deployments import pages, server_now

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import EventTrigger

_PATIENT = "overdue"
"""The kind whose automation waits before it fires."""
_PAGE = 50
"""Events in one answer, Prefect's limit."""


def ensure_automations(
    client: SyncPrefectClient, workspace: Workspace, kinds: Set[str], overdue: Seconds = OVERDUE
) -> None:
    """Make the automations of these kinds that are missing, and delete those of other kinds."""
    from prefect.events.actions import DoNothing
    from prefect.events.schemas.automations import AutomationCore

    for kind in KINDS:
        name = automation_name(workspace, kind)
        present = client.read_automations_by_name(name)
        for surplus in present[1:] if kind in kinds else present:
            client.delete_automation(surplus.id)
        if kind in kinds and not present:
            about = "elp sends the alerts of these events (elp alerts list). Pause this automation to pause them."
            trigger = _trigger(workspace, kind, overdue)
            client.create_automation(
                AutomationCore(name=name, description=about, trigger=trigger, actions=[DoNothing()])
            )


def automation_name(workspace: Workspace, kind: str) -> str:
    """Return the name of the automation of a kind."""
    return f"elp alerts of {deployment_name(workspace)}: {kind}"


def _trigger(workspace: Workspace, kind: str, overdue: Seconds) -> EventTrigger:
    from prefect.events.schemas.automations import EventTrigger, Posture

    events = {name for name, of_kind in EVENTS.items() if of_kind == kind}
    ours: dict[str, Any] = {
        "match": {"prefect.resource.id": ["prefect.flow-run.*", f"elp.workspace.{deployment_name(workspace)}"]},
        "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": _tag(workspace)},
    }
    if kind != _PATIENT:
        return EventTrigger(expect=events, posture=Posture.Reactive, threshold=1, **ours)
    return EventTrigger(
        after=events,
        expect={f"prefect.flow-run.{state}" for state in LEAVES_LATE},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=overdue),
        **ours,
    )


def emit(workspace: Workspace, api: str, alerts: Iterable[Alert]) -> None:
    """Send events of our own to Prefect; one that it has already changes nothing. No answer raises OSError."""
    if news := list(alerts):
        now = server_now(api)
        prefect_request(f"{api}/events", [own_event(workspace, alert, now) for alert in news], timeout=15.0)


def own_event(workspace: Workspace, alert: Alert, now: datetime) -> dict[str, Any]:
    """Return an event of our own, as Prefect takes it; `now` is by the clock of its server."""
    return {
        "id": alert.id,
        # of now: neither Prefect's triggers nor the supervision look at events that are older than what they have seen
        "occurred": now.isoformat(),
        "event": alert.event,
        "resource": {
            "prefect.resource.id": f"elp.workspace.{deployment_name(workspace)}",
            "prefect.resource.name": alert.slot or workspace.root.name,
        },
        "related": [{"prefect.resource.id": _tag(workspace), "prefect.resource.role": "tag"}],
        "payload": alert.payload(),
    }


def firings(workspace: Workspace, api: str, since: datetime, until: datetime) -> Iterator[tuple[str, Alert]]:
    """Yield the id of each firing of the automations between two moments, and its alert. No answer raises OSError."""
    names = [automation_name(workspace, kind) for kind in KINDS]
    wanted = {
        "event": {"name": ["prefect.automation.triggered"]},
        "resource": {"labels": {"prefect.resource.name": names}},
    }
    shown = prefect_pages(workspace, api)
    for firing in _stored(api, wanted, since, until):
        event = (firing.get("payload") or {}).get("triggering_event")
        if event and (alert := event_alert(event, shown)):
            yield str(firing["id"]), alert


def drop_begun(workspace: Workspace, api: str, alerts: Sequence[Alert]) -> list[Alert]:
    """Return the alerts without those of late runs that are late no more, or deleted. No answer raises OSError.

    An automation fires unless it has received one of the events that it expects, and a deleted run has none. How long
    a run may be late is the automation's own time, which a person may have changed.
    """
    if not any(alert.kind == _PATIENT for alert in alerts):
        return list(alerts)
    wanted = {"state": {"name": {"any_": [LATE]}}, "tags": {"all_": [deployment_name(workspace)]}}
    # the event of a new state has the id of the state
    late = {str(run["state"]["id"]) for run in pages(api, "flow_runs/filter", {"flow_runs": wanted})}
    return [alert for alert in alerts if alert.kind != _PATIENT or alert.id in late]


def selected_events(workspace: Workspace, api: str, since: datetime, until: datetime) -> Iterator[tuple[bool, Alert]]:
    """Yield whether an automation is active, and the alert, of each event that fires at once and occurred then.

    No answer raises OSError.
    """
    names = {automation_name(workspace, kind): kind for kind in KINDS}
    found = prefect_request(f"{api}/automations/filter", {"automations": {"name": {"any_": list(names)}}}, timeout=15.0)
    active = {names[one["name"]] for one in found if one["enabled"]}
    wanted = {
        "event": {"name": [event for event, kind in EVENTS.items() if kind != _PATIENT]},
        "related": {"labels": {"prefect.resource.id": _tag(workspace)}},
    }
    shown = prefect_pages(workspace, api)
    for event in _stored(api, wanted, since, until):
        if alert := event_alert(event, shown):
            yield alert.kind in active, alert


def _stored(api: str, wanted: dict[str, Any], since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the events between two moments that a filter selects, the oldest first."""
    wanted = {**wanted, "occurred": {"since": since.isoformat(), "until": until.isoformat()}, "order": "ASC"}
    page = prefect_request(f"{api}/events/filter", {"filter": wanted, "limit": _PAGE}, timeout=15.0)
    while True:
        yield from page["events"]
        if not page.get("next_page"):
            return
        # the address is that by which the server was asked
        page = prefect_request(page["next_page"], timeout=15.0)


def _tag(workspace: Workspace) -> str:
    return f"prefect.tag.{deployment_name(workspace)}"
