"""The supervision's looks at the inboxes: which deliveries wait, and the runs for what arrived. Imports no Prefect."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from elp_core.config import from_dict
from elp_core.errors import ConfigError, OpsError
from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.errors import UsageError
from pipelines.inbox.inbox_status import InboxRow, inbox_rows
from pipelines.inbox.slot_inbox import inbox_slots
from pipelines.local.gpu_need import slot_queue
from pipelines.local.prefect_request import prefect_request
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.slot_deployments import server_now
from pipelines.registry.slot import Slot

START_PAUSES: tuple[Seconds, ...] = (300.0, 1200.0, 3600.0)
"""Before the second, third … run for the same deliveries; the last one again and again."""
_BUSY = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")


@dataclass(frozen=True)
class Started:
    """The run that was started last for a slot."""

    digest: str
    """Of the deliveries that needed a run."""
    tries: int
    at: float
    """Seconds since the epoch."""
    number: int = 0
    """Of the runs that were started for the slot: Prefect would take the same delivery, put back, for a known run."""

    def due(self, digest: str, now: float) -> bool:
        """Return whether a run may be started for these deliveries."""
        # a clock that was set back must not stop the runs for long
        passed = abs(now - self.at)
        return digest != self.digest or passed >= START_PAUSES[min(self.tries, len(START_PAUSES)) - 1]


@dataclass(frozen=True)
class InboxCounts:
    """What the last look found: slot -> state -> number, and the slots whose inbox could not be read."""

    at: float
    slots: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


def watch_inboxes(workspace: Workspace, api: Callable[[], str], say: Callable[[str], None]) -> InboxCounts:
    """Look at every inbox, keep what was found, and start the runs that `inbox.start` asks for.

    `api` returns the address of Prefect's API; it is asked for only if a run is to be started. One inbox that cannot be
    read does not hold up the others. No answer of Prefect raises OSError.
    """
    found: dict[str, dict[str, int]] = {}
    faults: dict[str, str] = {}
    waiting: dict[Slot, list[InboxRow]] = {}
    for slot in inbox_slots(workspace):
        try:
            rows = inbox_rows(workspace, [slot], taken=0)
        except (OpsError, OSError) as error:
            faults[str(slot)] = str(error)
            continue
        found[str(slot)] = dict(Counter(row.state for row in rows))
        if ready := [row for row in rows if row.needs_run]:
            waiting[slot] = ready
    counts = InboxCounts(time.time(), found, faults)
    write_whole(counts_file(workspace), json.dumps(asdict(counts)) + "\n")
    if workspace.settings.inbox.start and waiting:
        _start_runs(workspace, api(), waiting, say)
    return counts


def counts_file(workspace: Workspace) -> Path:
    """Return the file with what the last look found."""
    return workspace.state / "inbox" / "counts.json"


def _start_runs(
    workspace: Workspace, api: str, waiting: Mapping[Slot, list[InboxRow]], say: Callable[[str], None]
) -> None:
    path, flow, now = workspace.state / "inbox" / "starts.json", workspace.settings.inbox.start, time.time()
    starts = _read_starts(path)
    for slot, rows in waiting.items():
        digest = hashlib.sha256(" ".join(sorted(row.fingerprint for row in rows)).encode()).hexdigest()[:32]
        before = starts.get(str(slot))
        if (before and not before.due(digest, now)) or _is_busy(workspace, api, slot):
            continue
        tries = before.tries + 1 if before and before.digest == digest else 1
        number = before.number + 1 if before else 1
        starts[str(slot)] = Started(digest, tries, now, number)
        try:
            _start_run(workspace, api, flow, slot, f"inbox {slot} {digest} {number}")
            say(f"inbox: {flow} {slot} started for {', '.join(row.name for row in rows[:3])}")
        except UsageError as error:
            # no GPU can carry it; this must not hold up the other slots
            say(f"inbox: {flow} {slot} cannot be started: {error}")
        write_whole(path, json.dumps({name: asdict(one) for name, one in starts.items()}) + "\n")


def _is_busy(workspace: Workspace, api: str, slot: Slot) -> bool:
    """Return whether a run of the slot is due, waits or runs."""
    wanted = {
        "flow_runs": {
            "tags": {"all_": [str(slot)]},
            "state": {"type": {"any_": list(_BUSY)}},
            # those that a schedule plans for later are among the scheduled ones; one of this second is due
            "expected_start_time": {"before_": (server_now(api) + timedelta(seconds=1)).isoformat()},
        },
        "deployments": {"tags": {"all_": ["elp", deployment_name(workspace)]}},
    }
    return int(prefect_request(f"{api}/flow_runs/count", wanted)) > 0


def _start_run(workspace: Workspace, api: str, flow: str, slot: Slot, key: str) -> None:
    deployment = prefect_request(f"{api}/deployments/name/{flow}/{deployment_name(workspace)}")
    content: dict[str, Any] = {
        "parameters": {"slot": str(slot)},
        "name": f"{flow} {slot}",
        "tags": [str(slot)],
        # a supervision that is killed after this request makes no second run
        "idempotency_key": key,
        "state": {"type": "SCHEDULED", "message": "a delivery arrived in the inbox"},
    }
    if flow == "retrain":
        # by what its GPU must carry; `ingest` trains nothing
        content["work_queue_name"] = slot_queue(workspace.settings, [slot])
    prefect_request(f"{api}/deployments/{deployment['id']}/create_flow_run", content)


def _read_starts(path: Path) -> dict[str, Started]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {name: from_dict(Started, one, "starts") for name, one in values.items()}
    except (OSError, ValueError, TypeError, AttributeError, ConfigError):
        # at worst a run is started earlier than its pause says
        return {}
