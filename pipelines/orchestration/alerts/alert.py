"""One alert: what happened to which slot, why, and what to do next."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.prefect_names import BAD_ENDS, WRONG_RELEASE

KINDS = ("failed", "refused", "undecided", "overdue", "missed", "drift", "override", "healed")
"""What a channel can ask for."""

EVENTS = {
    **{f"prefect.flow-run.{state}": "failed" for state in BAD_ENDS},
    "elp.process.restarted": "failed",
    "elp.process.given-up": "failed",
    "elp.worker.lost": "failed",
    "elp.disk.low": "failed",
    "elp.run.waits": "failed",
    "elp.gate.refused": "refused",
    "elp.inbox.refused": "refused",
    "elp.gate.undecided": "undecided",
    "prefect.flow-run.Late": "overdue",
    "elp.schedule.missed": "missed",
    "elp.drift": "drift",
    "elp.audio.changed": "drift",
    "elp.override.asked": "override",
    "elp.override.approved": "override",
    "elp.override.ended": "override",
    "elp.fault.healed": "healed",
}
"""Name of an event in Prefect -> the kind of its alerts."""

_LONGEST = 600
"""Characters of a reason: a traceback or a list of a thousand faults is in the report."""


@dataclass(frozen=True)
class Alert:
    """One event, for people."""

    id: str
    """Id of the event: the same event is reported once."""
    event: str
    kind: str
    at: str
    """UTC, ISO 8601."""
    what: str
    """A sentence without its full stop."""
    slot: str = ""
    """SITE/TASK; empty if it concerns no slot."""
    reason: str = ""
    link: str = ""
    """Page of the report, the run or the slot."""
    next_step: str = ""

    @property
    def repeats(self) -> str:
        """Return what makes two alerts the same: the event and what it is about."""
        return f"{self.event} {self.slot or self.what}"

    def payload(self) -> dict[str, str]:
        """Return the values that an event of our own has in Prefect."""
        return {"what": self.what, "slot": self.slot, "reason": self.reason, "link": self.link, "next": self.next_step}


def event_alert(event: Mapping[str, Any], ui: str) -> Alert | None:
    """Return the alert for an event of Prefect, as JSON; None for an event that is none of `EVENTS`.

    `ui` is the address of Prefect's pages.
    """
    name = str(event.get("event", ""))
    if name not in EVENTS:
        return None
    resource, payload = event.get("resource") or {}, event.get("payload") or {}
    common = {"id": str(event["id"]), "event": name, "kind": EVENTS[name], "at": str(event["occurred"])}
    if name.startswith("elp."):
        texts = {"what": "what", "slot": "slot", "reason": "reason", "link": "link", "next_step": "next"}
        return Alert(**common, **{field: plain_text(payload.get(key, "")) for field, key in texts.items()})
    run, state = plain_text(resource.get("prefect.resource.name", "a run")), name.rpartition(".")[2]
    tags = [str(related.get("prefect.resource.id", "")) for related in event.get("related") or ()]
    slot = next((tag.removeprefix("prefect.tag.") for tag in tags if tag.startswith("prefect.tag.") and "/" in tag), "")
    return Alert(
        **common,
        what=_RUN[state].format(run=run),
        slot=slot,
        reason="" if state == "Late" else plain_text(resource.get("prefect.state-message") or ""),
        link=f"{ui}/runs/flow-run/{str(resource.get('prefect.resource.id', '')).rpartition('.')[2]}",
        next_step=_NEXT[state],
    )


def plain_text(value: object, longest: int = _LONGEST) -> str:
    """Return a value as one line of at most `longest` characters, without control characters and template marks."""
    # what a run's message holds may come from a file name or a manifest
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in str(value)[: longest * 4])
    text = " ".join(text.split()).replace("{{", "{ {").replace("}}", "} }")
    return text if len(text) <= longest else text[: longest - 2].rstrip() + " …"


_RUN = {
    "Failed": "{run} failed",
    "Crashed": "{run} crashed: its process ended",
    "TimedOut": "{run} took too long and was ended",
    WRONG_RELEASE: "{run} asks for another release than its worker has",
    "Late": "{run} is overdue: no worker has started it",
}
_NEXT = {
    "Failed": "read the reason, correct it, and start the run again",
    "Crashed": "nothing; it is started again automatically, up to three times, and continues at the step it had "
    "reached. If elp down ended it, or if this is its fourth crash: read its log and start it again",
    "TimedOut": "start the run again, it continues at the step it had reached",
    WRONG_RELEASE: "install one release on all machines, run elp down and elp up on the control host, and start the "
    "run again",
    "Late": "look at: elp status (no worker, or a busy one)",
}
