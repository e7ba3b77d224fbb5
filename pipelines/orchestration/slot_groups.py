"""Slots that are due together on one backbone are trained in one pass: which ones, and a retraining of such a group."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prefect import get_run_logger
from prefect.exceptions import MissingContextError

from elp_core.errors import ElpError
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.errors import ServiceError
from pipelines.gating.gate import GateOutcome
from pipelines.local.gpu_need import fits_a_queue, slot_queue
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.run_outcome import SlotRun, final_state
from pipelines.outages import awaited
from pipelines.registry.slot import Slot
from pipelines.training.register import Registered


@dataclass(frozen=True)
class GroupSteps:
    """The steps of a retraining, as the flow has them."""

    take_in: Callable[[Workspace, Slot], DatasetVersion]
    train: Callable[[Workspace, Mapping[Slot, str]], Mapping[Slot, Registered]]
    """Train several slots, each on its dataset version, in one pass."""
    train_one: Callable[[Workspace, Slot, str], Registered]
    judge: Callable[[Workspace, Slot, int], GateOutcome]


def together(settings: Settings, slots: Sequence[Slot]) -> list[tuple[str, list[Slot]]]:
    """Return the runs that retrain some slots, each as its work queue and its slots, in the order of the slots.

    A run has up to `servers.together` slots of one need, one device and one precision, and no more than the largest
    queue carries; all slots of a workspace have one backbone.
    """
    most = max(1, settings.servers.together)
    alike: dict[tuple[str, str, str], list[Slot]] = {}
    groups: list[list[Slot]] = []
    for slot in slots:
        train = settings.for_slot(slot).train
        key = (slot_queue(settings, [slot]), train.device, train.precision)
        if not (group := alike.get(key)) or len(group) == most or not fits_a_queue(settings, [*group, slot]):
            # a new group of this kind, which the next slots join
            alike[key] = []
            groups.append(alike[key])
        alike[key].append(slot)
    return [(slot_queue(settings, group), group) for group in groups]


def retrain_together(workspace: Workspace, slots: Sequence[Slot], steps: GroupSteps) -> list[SlotRun]:
    """Take in what waits for some slots, train all in one pass, gate each; return what happened to each slot.

    A slot that fails at any step does not stop the others. A server that is gone raises ServiceError, a full disk
    raises DiskFull: the whole run waits then.
    """
    failed: dict[Slot, ElpError] = {}
    datasets: dict[Slot, DatasetVersion] = {}
    for slot in slots:
        with _noting(slot, failed):
            datasets[slot] = steps.take_in(workspace, slot)
    trained = _train_all(workspace, {slot: dataset.tag for slot, dataset in datasets.items()}, steps, failed)
    ends: dict[Slot, SlotRun] = {}
    for slot, adapter in trained.items():
        with _noting(slot, failed):
            judged = steps.judge(workspace, slot, adapter.version)
            state = final_state(str(slot), judged)
            text = f"{adapter.name} v{adapter.version} on {datasets[slot].tag}: {judged.verdict.outcome}"
            ends[slot] = SlotRun(str(slot), text, state.name or "", state.type.value)
    return [
        ends.get(slot) or SlotRun(str(slot), f"Failed: {_reason(failed[slot])}", "Failed", "FAILED") for slot in slots
    ]


def _train_all(
    workspace: Workspace, tags: Mapping[Slot, str], steps: GroupSteps, failed: dict[Slot, ElpError]
) -> dict[Slot, Registered]:
    """Train slots in one pass; if one of them fails, find which: those that are trained are not trained again."""
    if not tags:
        return {}
    try:
        return dict(steps.train(workspace, tags))
    except ServiceError:
        raise
    except ElpError as error:
        _warn(f"not all slots could be trained together: {_reason(error)}")
    trained = {}
    for slot, tag in tags.items():
        with _noting(slot, failed):
            trained[slot] = steps.train_one(workspace, slot, tag)
    return trained


@contextlib.contextmanager
def _noting(slot: Slot, failed: dict[Slot, ElpError]) -> Iterator[None]:
    """Keep the error of a slot, so that the others continue."""
    try:
        yield
    except ServiceError:
        raise
    except ElpError as error:
        if awaited(error):
            # the run waits, and finds then what the other slots have done
            raise
        failed[slot] = error
        _warn(f"{slot}: {_reason(error)}")


def _warn(text: str) -> None:
    try:
        get_run_logger().warning(text)
    except MissingContextError:
        # a flow that is called as a function has no run
        logging.getLogger(__name__).warning(text)


def _reason(error: ElpError) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
