"""Send what the queues have, each message in a process of its own with a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from elp_core.config import to_dict
from elp_core.errors import OpsError
from elp_core.types import Seconds
from pipelines.local.environment import child_environment
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.orchestration.alerts import alert_message as message
from pipelines.orchestration.alerts.alert_channels import Channel
from pipelines.orchestration.alerts.alert_queue import Batch, delivered, failed, next_batch
from pipelines.orchestration.alerts.alert_state import AlertState, queue_of, write_state

_LIMIT: Seconds = 60.0
"""How long sending one message may take."""


def deliver(
    workspace: Workspace, state: AlertState, channels: Mapping[str, Channel], log: Callable[[str], None]
) -> AlertState:
    """Send the next message that is due on any channel, and write the state after it; return the state.

    One message in a round: a receiver that hangs takes its time, and the supervision has more to do.
    """
    for name, channel in channels.items():
        queue = queue_of(state, channel)
        batch = next_batch(queue, channel.digest, time.time())
        if batch is None:
            continue
        try:
            send_batch(workspace, channel, batch)
        except OpsError as error:
            queue = failed(queue, str(error), time.time())
            log(f"alerts: {error}; the message is sent again later")
        else:
            queue = delivered(queue, batch, time.time())
            log(f"alerts: {count(len(batch.entries), 'alert')} sent to {name}")
        state = replace(state, queues={**state.queues, name: queue})
        write_state(workspace, state)
        break
    return state


def send_batch(workspace: Workspace, channel: Channel, batch: Batch) -> None:
    """Send one message about some alerts; raises OpsError if it cannot be sent."""
    # the same alerts give the same id: a message that is sent twice is one message to a mail program
    ids = "".join(entry.alert.id for entry in batch.entries)
    send_text(
        channel,
        message.subject(batch, workspace.root.name),
        message.body(batch, str(workspace.root), channel.name),
        uuid.uuid5(uuid.NAMESPACE_OID, f"{channel.name} {batch.digest} {ids}").hex,
    )


def send_text(channel: Channel, subject: str, body: str, message_id: str) -> None:
    """Send a text in a process of its own; raises OpsError if it cannot be sent within a minute."""
    content = {"channel": to_dict(channel), "subject": subject, "body": body, "id": message_id}
    # -P: a file such as queue.py in the current folder must not be imported in place of the library's
    command = [sys.executable, "-P", "-m", "pipelines.orchestration.alerts.notification_blocks"]
    try:
        # the secrets go through standard input: arguments and environments are visible to others
        done = subprocess.run(
            command, input=json.dumps(content), capture_output=True, text=True, timeout=_LIMIT, check=False,
            env=child_environment({"PREFECT_LOGGING_LEVEL": "ERROR"}),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise OpsError(f"{channel.name} ({channel.target}) did not take the message within {_LIMIT:.0f} s") from None
    if done.returncode:
        reason = done.stdout.strip() or (done.stderr.strip().splitlines() or ["no reason"])[-1]
        for secret in channel.secrets:
            reason = reason.replace(secret, "…")
        raise OpsError(f"{channel.name} ({channel.target}): {reason[:400]}")
