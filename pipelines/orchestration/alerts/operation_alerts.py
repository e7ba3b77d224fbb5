"""What happened in the operation, for people: healed faults, missed schedules, lost workers, full disks, inboxes.

`report` sends it to Prefect as an event, from any process that reaches Prefect; `operation_alert` makes the alert, for
the supervision, which can put it into its queues without Prefect.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert import EVENTS, Alert, plain_text
from pipelines.orchestration.alerts.automations import emit

_NAMES = uuid.UUID("2b6a4c3e-8c0d-4e0e-9b57-0d5f7f1c9a42")
_TEXTS = {
    "elp.fault.healed": ("{subject} was repaired automatically", "nothing, unless it happens again; look at: elp runs"),
    "elp.worker.lost": (
        "the worker {subject} no longer answers",
        "look at its host, and at: elp status; a worker that was not started by elp worker looks the same in Prefect "
        "when somebody stops it",
    ),
    "elp.disk.low": ("the disk of {subject} is almost full", "free some space; runs that need it fail"),
    "elp.run.waits": (
        "{subject} waits for a server, a store or disk space",
        "bring back what the reason names; the run continues then, nothing has to be started",
    ),
    "elp.schedule.missed": ("a scheduled run of {slot} did not start", "look at: elp schedule list, and: elp status"),
    "elp.inbox.refused": (
        "a delivery in the inbox of {slot} was refused: {subject}",
        "correct the delivery, or try it again as it is: elp inbox retry {slot}",
    ),
    "elp.audio.changed": (
        "the audio that the site of {slot} sends has changed",
        "read the report of the look on the slot's page; the alarm stays open until a new champion or golden set, "
        "or: elp monitor {slot} --restart --reason TEXT",
    ),
}
"""Event -> what happened, and the next step."""


def operation_alert(event: str, key: str, *, subject: str = "", slot: str = "", reason: str = "") -> Alert:
    """Return the alert of an event of the operation. The same event and key give the same id: it is reported once.

    `subject` is what it happened to (a run, a worker, a folder, a delivery), `slot` is SITE/TASK. Raises UsageError for
    an event that is not one of the operation.
    """
    if event not in _TEXTS:
        raise UsageError(f"{event!r} is no event of the operation; expected one of {', '.join(_TEXTS)}")
    what, step = _TEXTS[event]
    words = {"subject": plain_text(subject, 200), "slot": slot}
    return Alert(
        id=str(uuid.uuid5(_NAMES, f"{event} {key}")),
        event=event,
        kind=EVENTS[event],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        what=what.format(**words),
        slot=slot,
        reason=plain_text(reason),
        next_step=step.format(**words),
    )


def report(
    workspace: Workspace, api: str, event: str, key: str, *, subject: str = "", slot: str = "", reason: str = ""
) -> None:
    """Send an event of the operation to the Prefect API at `api`, arguments as for `operation_alert`.

    An event that was sent before changes nothing. No answer raises OSError.
    """
    emit(workspace, api, [operation_alert(event, key, subject=subject, slot=slot, reason=reason)])
