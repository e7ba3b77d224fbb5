"""What a channel still has to send: the first alert at once, repeats in one digest a day. Values in, values out.

Two alerts are the same if their event and their slot are. The first one is sent at once; the same ones within 24 hours
are collected, and sent as one digest at the channel's time of the day. What waits at the same moment is one message,
and a channel gets at most `PER_HOUR` messages an hour: a fault of a hundred slots is a few messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from elp_core.types import Seconds
from pipelines.orchestration.alerts.alert import Alert

DAY: Seconds = 86_400.0
PER_HOUR = 10
_BACK_OFF: tuple[Seconds, ...] = (10.0, 30.0, 120.0, 600.0, 3600.0)
"""Pauses after a message that could not be sent; the last one again and again."""
_MOST = 500
"""Alerts that a queue keeps; of further ones only the number."""


@dataclass(frozen=True)
class Entry:
    """An alert in a queue."""

    alert: Alert
    since: float
    """When it was taken in: seconds since the epoch."""


@dataclass(frozen=True)
class Queue:
    """State of a channel. Times are seconds since the epoch."""

    waiting: tuple[Entry, ...] = ()
    """To be sent at once."""
    collected: tuple[Entry, ...] = ()
    """For the next digest."""
    dropped: int = 0
    """Alerts that are in neither, because there were too many."""
    first: Mapping[str, float] = field(default_factory=dict)
    """When each kind of event of a slot was last reported at once."""
    sent: tuple[float, ...] = ()
    """Messages of the last hour."""
    last: float = 0.0
    """The last message."""
    failures: int = 0
    """Tries since then that failed."""
    tried: float = 0.0
    """The last try that failed."""
    retry_at: float = 0.0
    error: str = ""
    """Why the last try failed."""
    added: float = 0.0
    """When its channel was added: a channel that is removed and added again begins empty."""


@dataclass(frozen=True)
class Batch:
    """One message's alerts."""

    entries: tuple[Entry, ...]
    digest: bool
    dropped: int


def accept(queue: Queue, alert: Alert, now: float) -> Queue:
    """Put an alert into the queue."""
    first = {key: at for key, at in queue.first.items() if 0 <= now - at < DAY}
    entry, repeat = Entry(alert, now), alert.repeats in first
    if not repeat:
        first[alert.repeats] = now
    queue = replace(queue, first=first)
    if len(queue.collected if repeat else queue.waiting) >= _MOST:
        return replace(queue, dropped=queue.dropped + 1)
    if repeat:
        return replace(queue, collected=(*queue.collected, entry))
    return replace(queue, waiting=(*queue.waiting, entry))


def next_batch(queue: Queue, digest: str, now: float) -> Batch | None:
    """Return what is to be sent now, or None; `digest` is HH:MM in the time of this machine."""
    # a clock that was set back by hours must not silence a channel for these hours
    if now < queue.retry_at <= now + _BACK_OFF[-1]:
        return None
    if queue.waiting and sum(0 <= now - at < 3600 for at in queue.sent) < PER_HOUR:
        return Batch(queue.waiting, False, queue.dropped)
    if queue.collected and now >= digest_moment(queue.collected[0].since, digest):
        return Batch(queue.collected, True, queue.dropped)
    return None


def delivered(queue: Queue, batch: Batch, now: float) -> Queue:
    """Return the queue without a batch that was sent."""
    gone = set(batch.entries)
    return replace(
        queue,
        waiting=tuple(entry for entry in queue.waiting if entry not in gone),
        collected=tuple(entry for entry in queue.collected if entry not in gone),
        dropped=queue.dropped - batch.dropped,
        sent=(*(at for at in queue.sent if 0 <= now - at < 3600), now),
        last=now,
        failures=0,
        retry_at=0.0,
        error="",
    )


def failed(queue: Queue, error: str, now: float) -> Queue:
    """Return the queue after a message that could not be sent: it stays, and the next try waits."""
    pause = _BACK_OFF[min(queue.failures, len(_BACK_OFF) - 1)]
    return replace(queue, failures=queue.failures + 1, tried=now, retry_at=now + pause, error=error)


def digest_moment(since: float, digest: str) -> float:
    """Return the first HH:MM after a moment, in seconds since the epoch."""
    start = datetime.fromtimestamp(since)
    hour, minute = map(int, digest.split(":"))
    moment = start.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (moment if moment > start else moment + timedelta(days=1)).timestamp()
