"""The state of the channels for `elp alerts list` and `elp doctor`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert_channels import read_channels
from pipelines.orchestration.alerts.alert_state import queue_of, read_state


@dataclass(frozen=True)
class ChannelStatus:
    """One line of `elp alerts list`, without secrets."""

    name: str
    sort: str
    target: str
    on: tuple[str, ...]
    digest: str
    state: str
    """``ready``, or ``failing``: the last message could not be sent and is tried again."""
    waiting: int
    collected: int
    last: str
    """The last message. UTC, ISO 8601; empty if there was none."""
    error: str


def channel_status(workspace: Workspace) -> list[ChannelStatus]:
    """Return the channels by name; raises WorkspaceError if a file is damaged."""
    state, found = read_state(workspace, time.time()), []
    for name, channel in sorted(read_channels(workspace).items()):
        queue = queue_of(state, channel)
        last = datetime.fromtimestamp(queue.last, UTC).isoformat(timespec="minutes")[:16] if queue.last else ""
        health = "failing" if queue.error else "ready"
        counts = len(queue.waiting), len(queue.collected)
        found.append(
            ChannelStatus(
                name, channel.sort, channel.target, channel.on, channel.digest, health, *counts, last, queue.error
            )
        )
    return found


def examine_alerts(workspace: Workspace) -> tuple[str, str, str]:
    """Return the finding of `elp doctor` on the channels."""
    found = channel_status(workspace)
    if not found:
        return "ok", "no channel: add one with elp alerts add", ""
    if failing := [f"{one.name}: {one.error}" for one in found if one.error]:
        return "fail", "; ".join(failing), f"correct the channel, then: elp alerts test {failing[0].split(':')[0]}"
    return "ok", ", ".join(f"{one.name} ({one.target})" for one in found), ""
