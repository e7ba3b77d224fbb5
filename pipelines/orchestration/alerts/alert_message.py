"""The texts of messages: what happened, to what, why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.number_text import count
from pipelines.orchestration.alerts.alert import Alert, plain_text
from pipelines.orchestration.alerts.alert_queue import Batch

_SHOWN = 20
"""Alerts of one message that are shown in full."""
_LONGEST = 12_000
"""Characters of a message: Slack and Teams refuse much longer ones."""


def subject(batch: Batch, workspace: str) -> str:
    """Return the subject: one line."""
    first, number = batch.entries[0].alert, len(batch.entries) + batch.dropped
    if batch.digest:
        text = f"daily digest, {count(number, 'repeated alert')}"
    elif number == 1:
        text = first.what
    else:
        text = f"{count(number, 'alert')}, the first: {first.what}"
    return plain_text(f"[ELP {workspace}] {text}", 150)


def body(batch: Batch, root: str, channel: str) -> str:
    """Return the text of a message; `root` is the folder of the workspace."""
    alerts = [entry.alert for entry in batch.entries]
    parts = _digest(alerts) if batch.digest else [_whole(alert) for alert in alerts]
    more = max(0, len(parts) - _SHOWN) + batch.dropped
    text = "\n\n".join(parts[:_SHOWN])
    if len(text) > _LONGEST:
        text = text[:_LONGEST].rstrip() + " …"
    if more:
        text += f"\n\nand {more} more: look at Prefect's pages, or: elp status"
    rule = "The same event of the same slot is in tomorrow's digest if it happens again within 24 hours."
    return f"{text}\n\n--\nworkspace {root}\n{rule}\nTo stop these messages: elp alerts remove {channel}\n"


def _whole(alert: Alert) -> str:
    lines = [f"{alert.what[:1].upper()}{alert.what[1:]}."]
    for name, value in (
        ("Slot", alert.slot),
        ("Reason", alert.reason),
        ("Page", alert.link),
        ("Next", alert.next_step),
        ("When", f"{alert.at[:16].replace('T', ' ')} UTC"),
    ):
        if value:
            lines.append(f"{name}: {value}")
    return "\n".join(lines)


def _digest(alerts: Sequence[Alert]) -> list[str]:
    """Return a part for each event and slot: how often, and the newest of them."""
    groups: dict[str, list[Alert]] = {}
    for alert in alerts:
        groups.setdefault(alert.repeats, []).append(alert)
    return [f"{count(len(same), 'time')} again:\n{_whole(same[-1])}" for same in groups.values()]
