"""Who serves: a challenger that passed becomes champion, the champion before comes back, or nobody serves.

The server decides (`pipelines.server`); here is refused only what it cannot know: the limits in `elp.yaml` and the
golden set that is pinned now.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import GateRefused, RegistryError
from pipelines.local.settings import Settings
from pipelines.registry.adapter_version import CHALLENGER, AdapterVersion, policy_digest
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import server_api as guard
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]


@dataclass(frozen=True)
class Promotion:
    """A change of champion, or none."""

    slot: Slot
    version: int | None
    """The champion now; None after a retirement."""
    previous: int | None
    """Champion before; None where there was none."""
    changed: bool
    """False where `version` was the champion already."""
    by: str
    why: str


def promote(
    slot: Slot,
    settings: Settings,
    version: int | None = None,
    *,
    mlflow_uri: str,
    by: str = "",
    why: str = "",
    golden: str = "",
    again: bool = False,
    log: Log = print,
) -> Promotion:
    """Make a version the champion, if its signed verdict passed against the champion of this moment.

    Args:
        slot: The slot.
        settings: Of the workspace; the gate's policy is taken from them.
        version: Version to promote; None takes the one with the alias ``challenger``.
        mlflow_uri: Address of the MLflow server.
        by: Who decides; empty means the user of this process. Where the server has logins, the login counts.
        why: Reason, for the record.
        golden: Tag of the golden set pinned now; empty does not compare it.
        again: Promote even a version that was rolled back before.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: where the version was not gated, did not pass, or passed against something that holds no longer.
        RegistryError: where there is no such version.
        ServiceError: where no guarded server answers.
    """
    client = registry.connect(mlflow_uri)
    present = registry.find_champion(client, slot)
    chosen = _chosen(client, slot, version, present)
    by, why = by or _user(), why or "its verdict passed"
    if present is None or chosen.version != present.version:
        _refuse_other_terms(chosen, policy_digest(settings.for_slot(slot).gate), golden)
    done = guard.promote(mlflow_uri, slot, chosen.version, by=by, reason=why, again=again)
    instead = f", in place of v{done.previous}" if done.previous else ""
    log(f"{chosen.name} is the champion now{instead}" if done.changed else f"{chosen.name} is the champion already")
    return Promotion(slot, done.version, done.previous if done.changed else None, done.changed, done.by, why)


def rollback(
    slot: Slot, *, mlflow_uri: str, version: int | None = None, by: str = "", why: str = "", log: Log = print
) -> Promotion:
    """Bring back a former champion.

    Args:
        slot: The slot.
        mlflow_uri: Address of the MLflow server.
        version: Version to bring back; None takes the one that the present champion replaced.
        by: Who decides; empty means the user of this process.
        why: Reason, for the record.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: where there is none to go back to, or its proof of then does not hold any more.
        RegistryError: where there is no such version.
        ServiceError: where no guarded server answers.
    """
    registry.connect(mlflow_uri)
    by, why = by or _user(), why or "rollback"
    done = guard.rollback(mlflow_uri, slot, version, by=by, reason=why)
    if done.changed:
        log(f"{slot} v{done.version} is the champion again, in place of v{done.previous}")
    return Promotion(slot, done.version, done.previous, done.changed, done.by, why)


def retire(slot: Slot, *, mlflow_uri: str, why: str, by: str = "", log: Log = print) -> Promotion:
    """Leave a slot without champion.

    Args:
        slot: The slot.
        mlflow_uri: Address of the MLflow server.
        why: Reason, for the record.
        by: Who decides; empty means the user of this process.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: where the slot has no champion.
        ServiceError: where no guarded server answers.
    """
    registry.connect(mlflow_uri)
    by = by or _user()
    done = guard.retire(mlflow_uri, slot, by=by, reason=why)
    log(f"{slot} v{done.previous} is retired; the slot has no champion")
    return Promotion(slot, None, done.previous, done.changed, done.by, why)


def _chosen(client: MlflowClient, slot: Slot, version: int | None, present: AdapterVersion | None) -> AdapterVersion:
    if version is not None:
        return registry.get(client, slot, version)
    challenger = registry.find(client, slot, CHALLENGER)
    if challenger is not None:
        return challenger
    serving = f"; the champion is v{present.version}" if present else ""
    raise RegistryError(f"{slot} has no challenger to promote{serving}; gate a candidate first: elp gate {slot}")


def _refuse_other_terms(chosen: AdapterVersion, policy: str, golden: str) -> None:
    """Refuse a verdict made under other limits, or on another golden set, than this workspace has now."""
    record, gate = chosen.gate_record, f"gate it again: elp gate {chosen.slot} --version {chosen.version}"
    if record is None or record.verdict != "passed":
        return
    if record.policy != policy:
        raise GateRefused(f"{chosen.name} passed under other limits than elp.yaml has now; {gate}")
    if golden and record.golden != golden:
        raise GateRefused(f"{chosen.name} passed on {record.golden}, but {golden} is pinned now; {gate}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run under a user id without a name
        return "unknown"
