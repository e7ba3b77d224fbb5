"""Slots that are due when a run begins to train are trained in its pass; each keeps a flow run of its own.

With `servers.together: N`, a run of `retrain` looks for other runs of `retrain` that are due in its work queue, claims
up to N - 1 of them as a worker does (Scheduled to Pending, which Prefect grants once), and executes each with Prefect's
engine in a thread. A joined run has its own states, tasks, log, gate and outcome; only the training is common.

The process is that of the leading run, which ends last. So a joined run is lost exactly when the leading run no longer
has the state in which it claimed the other: `led_by` reads that from the claimed run, and the supervision compares.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect import Flow, get_run_logger
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import load_flow_run, run_flow
from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL

from elp_core.errors import ElpError
from pipelines.errors import RunCancelled, ServiceError, UsageError
from pipelines.local.gpu_need import slot_queue
from pipelines.local.interrupted_runs import leading_text
from pipelines.local.settings import Settings
from pipelines.local.worker_plan import carried_queues
from pipelines.local.workspace import Workspace
from pipelines.orchestration.cancelled_joins import CANCELLED_IN_PASS, watched_cancellations
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.shared_pass import PassPart, SharedPass
from pipelines.orchestration.slot_deployments import pages, patient_request, rest_errors, server_now
from pipelines.orchestration.slot_groups import together
from pipelines.orchestration.tasks import service_options
from pipelines.registry.slot import Slot
from pipelines.training.register import Registered

Train = Callable[[PassPart], Registered]

_joined: contextvars.ContextVar[SharedPass | None] = contextvars.ContextVar("joined", default=None)
"""The pass that the run of this thread has joined."""
_WORKER = "prefect.worker."
"""Begin of the labels with which a worker marks the runs that it has taken."""


def has_joined() -> bool:
    """Return whether the run of this thread is executed in the process of another one."""
    return _joined.get() is not None


@contextlib.contextmanager
def shared_training(workspace: Workspace, slot: Slot) -> Iterator[Train | None]:
    """Yield what trains this run's part of a pass; None if the run trains alone.

    A run that leads a pass waits at the end of the block for the runs that have joined it.
    """
    if shared := _joined.get():
        yield lambda part: _unless_cancelled(shared, part)
        return
    api, run, context = PREFECT_API_URL.value(), flow_run.get_id(), FlowRunContext.get()
    settings = workspace.settings
    alone = settings.servers.together < 2 or settings.for_slot(slot).compute.processes > 1
    if alone or not api or not run or not deployment.id or context is None or context.flow is None:
        # a flow that is called as a function has no queue
        yield None
        return
    made = SharedPass(run, lambda parts: _train_parts(made, parts))
    leading = _Leading(api, workspace, slot, context.flow, made)
    try:
        yield leading.train
    except Exception:
        leading.end()
        raise
    # not after a signal: the process has to end, and the supervision starts the joined runs again
    leading.end()


@dataclass
class _Leading:
    """A run that takes others along."""

    api: str
    workspace: Workspace
    slot: Slot
    flow: Flow[..., Any]
    shared: SharedPass
    threads: list[threading.Thread] = field(default_factory=list)
    looked: bool = False

    def train(self, part: PassPart) -> Registered:
        """Let due runs join at the first call; then train all that have joined."""
        if not self.looked:
            self.looked = True
            try:
                self._look()
            except (ServiceError, UsageError) as error:
                part.log(f"no other slots were taken along: {error}")
        return self.shared.train(part)

    def end(self) -> None:
        """Wait until all joined runs have ended."""
        self.shared.leave(self.shared.leader)
        for thread in self.threads:
            thread.join()

    def _look(self) -> None:
        with rest_errors(self.api):
            mine = patient_request(f"{self.api}/flow_runs/{self.shared.leader}")
            slots = [self.slot]
            for run in _due_runs(self.api, self.workspace, mine):
                if len(slots) == self.workspace.settings.servers.together:
                    return
                slot = Slot.parse(run["parameters"]["slot"])
                if _fit_together(self.workspace.settings, [*slots, slot], mine["work_queue_name"]) and _claim(
                    self.api, run, mine
                ):
                    slots.append(slot)
                    self._start(run)

    def _start(self, run: Mapping[str, Any]) -> None:
        get_run_logger().info("%s is trained in one pass with this run", run["parameters"]["slot"])
        self.shared.expect(run["id"])
        # a daemon: a process that is asked to end does not wait for it
        thread = threading.Thread(
            target=_execute, args=(self.api, self.flow, self.shared, run["id"]), name=run["name"], daemon=True
        )
        self.threads.append(thread)
        thread.start()


def _due_runs(api: str, workspace: Workspace, mine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the runs that wait in the queue of a run and could join it: the newest of each other slot, by time."""
    wanted = {
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": server_now(api).isoformat()},
            "tags": {"all_": ["elp", deployment_name(workspace)]},
        },
        "flows": {"id": {"any_": [mine["flow_id"]]}},
        "work_pools": {"name": {"any_": [mine["work_pool_name"]]}},
        "work_pool_queues": {"name": {"any_": [mine["work_queue_name"]]}},
        "sort": "NEXT_SCHEDULED_START_TIME_ASC",
    }
    same = ("workspace", "revision", "release")
    given = mine["parameters"]
    # of several runs of a slot the newest: the others end as missed
    by_slot = {
        str(run["parameters"].get("slot")): run
        for run in pages(api, "flow_runs/filter", wanted)
        if [run["parameters"].get(name) for name in same] == [given.get(name) for name in same]
        and not run["parameters"].get("also")
    }
    return [run for slot, run in by_slot.items() if slot not in (str(given["slot"]), "None")]


def _fit_together(settings: Settings, slots: Sequence[Slot], queue: str) -> bool:
    """Return whether slots can be trained in one pass on the GPU of this process; one of them alone has this queue."""
    if any(settings.for_slot(slot).compute.processes > 1 for slot in slots):
        return False
    if len(together(settings, slots)) > 1:
        return False
    return slot_queue(settings, slots) in (queue, *carried_queues())


def _claim(api: str, run: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Claim a run as a worker does; return False if another process was first."""
    text = leading_text(mine)
    state = {"type": "PENDING", "name": "Pending", "message": text}
    url = f"{api}/flow_runs/{run['id']}"
    answer = patient_request(f"{url}/set_state", {"state": state}, repeatable=True)
    if answer["status"] != "ACCEPT" or answer["state"]["type"] != "PENDING":
        # a claim that Prefect granted too late for an answer is refused when it is sent again
        present = patient_request(url)["state"]
        if (present["type"], present["message"]) != ("PENDING", text):
            return False
    # while it is Pending, the message says who leads it; later, this does
    patient_request(url, {"infrastructure_pid": text}, "PATCH", repeatable=True)
    labels = {name: value for name, value in (mine.get("labels") or {}).items() if name.startswith(_WORKER)}
    patient_request(f"{url}/labels", labels, "PATCH", repeatable=True)
    return True


def _execute(api: str, flow: Flow[..., Any], shared: SharedPass, run: str) -> None:
    """Execute a claimed run in this thread, when it is its turn."""
    _joined.set(shared)
    try:
        with shared.taking_turns(run):
            present = load_flow_run(UUID(run))
            if _is_cancelling(api, run):
                state = {"type": "CANCELLED", "message": "cancelled before it began"}
                patient_request(f"{api}/flow_runs/{run}/set_state", {"state": state})
                return
            run_flow(flow, flow_run=present)
    except (Abort, Pause) as error:
        # Prefect has another state for it, or it went back to its queue
        logging.getLogger(__name__).info("%s: %s", run, error)
    except Exception:
        # the engine has reported a failure of the run; a run that it could not report is lost when this process ends
        logging.getLogger(__name__).exception("the flow run %s failed", run)


def _unless_cancelled(shared: SharedPass, part: PassPart) -> Registered:
    """Train a part of a joined run; raise RunCancelled if that is asked for: no worker has a process to end."""
    api = PREFECT_API_URL.value() or ""
    _require_wanted(api, part.run)
    trained = shared.train(part)
    _require_wanted(api, part.run)
    return trained


def _require_wanted(api: str, run: str) -> None:
    with rest_errors(api):
        if _is_cancelling(api, run):
            raise RunCancelled(CANCELLED_IN_PASS)


def _is_cancelling(api: str, run: str) -> bool:
    return bool(patient_request(f"{api}/flow_runs/{run}")["state"]["type"] == "CANCELLING")


def _train_parts(shared: SharedPass, parts: Sequence[PassPart]) -> dict[Slot, Registered | ElpError]:
    """Train the parts of several runs in one pass; each run gets its own lines, and the progress of the pass.

    A joined run that is cancelled meanwhile ends at once, and its slot is not trained any more.
    """
    from pipelines.training.train import train_each

    workspace, reports = parts[0].workspace, [part.progress for part in parts if part.progress]

    def report(done: int, total: int, note: str = "") -> None:
        for one in reports:
            one(done, total, note)

    for part in parts if len(parts) > 1 else ():
        part.log(f"training in one pass: {', '.join(str(one.slot) for one in parts)}")
    runs = {part.slot: part.run for part in parts}
    # a worker has the process of the leading run, and ends it
    with watched_cancellations(shared, [run for run in runs.values() if run != shared.leader]):
        return train_each(
            str(workspace.root),
            {part.slot: part.tag for part in parts},
            workspace.settings,
            address=workspace.address,
            flow_run_id=runs,
            progress=report,
            check=lambda slot: shared.check(runs[slot]),
            **{**service_options(workspace), "log": {part.slot: part.log for part in parts}},
        )
