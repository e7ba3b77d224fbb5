"""Change the champion of a slot: promote a challenger that passed, bring a former champion back, or retire it.

The server decides. The client refuses only what the server cannot know: a verdict under other limits than the
workspace has now, or on another golden set than the one pinned now.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import GateRefused, RegistryError
from pipelines.registry.adapter_version import CHALLENGER, AdapterVersion
from pipelines.registry.client import model_registry
from pipelines.registry.client.server_api import change_champion
from pipelines.registry.slot import Slot

Log = Callable[[str], None]


@dataclass(frozen=True)
class Promotion:
    """A change of champion, or none."""

    slot: Slot
    version: int | None
    """The champion now; None after a retirement."""
    previous: int | None
    """The champion before; None if there was none."""
    changed: bool
    """False if `version` was the champion already."""
    by: str
    why: str


def promote_version(
    slot: Slot,
    version: int | None = None,
    *,
    mlflow_uri: str,
    policy: str,
    golden: str = "",
    by: str = "",
    why: str = "",
    again: bool = False,
    log: Log = print,
) -> Promotion:
    """Make a version the champion, if its signed verdict passed against the champion of this moment.

    Args:
        slot: The slot.
        version: Version to promote; None takes the one with the alias ``challenger``.
        mlflow_uri: Address of the MLflow server.
        policy: `policy_digest` of the limits that the workspace has now.
        golden: Tag of the golden set that is pinned now; empty does not compare it.
        by: Name of the person who decides; empty takes the user of this process. On a server with a login, the login
            counts.
        why: Reason, for the record.
        again: Promote even a version that was rolled back before.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: The version was not gated, did not pass, or passed against something that no longer holds.
        RegistryError: There is no such version.
        ServiceError: No guarded server answers.
    """
    client = model_registry.connect(mlflow_uri)
    present = model_registry.find_champion(client, slot)
    if version is not None:
        chosen = model_registry.get(client, slot, version)
    elif challenger := model_registry.find(client, slot, CHALLENGER):
        chosen = challenger
    else:
        serving = f"; the champion is v{present.version}" if present else ""
        raise RegistryError(f"{slot} has no challenger to promote{serving}; gate a candidate first: elp gate {slot}")
    if present is None or chosen.version != present.version:
        _refuse_other_terms(chosen, policy, golden)
    more = {"version": chosen.version} | ({"again": True} if again else {})
    done = _change("promote", slot, mlflow_uri, by, why or "its verdict passed", more)
    instead = f", in place of v{done.previous}" if done.previous else ""
    log(f"{chosen.name} is the champion now{instead}" if done.changed else f"{chosen.name} is the champion already")
    return done


def restore_version(
    slot: Slot, *, mlflow_uri: str, version: int | None = None, by: str = "", why: str = "", log: Log = print
) -> Promotion:
    """Bring back a former champion.

    Args:
        slot: The slot.
        mlflow_uri: Address of the MLflow server.
        version: Version to bring back; None takes the one that the present champion replaced.
        by: Name of the person who decides; empty takes the user of this process.
        why: Reason, for the record.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: There is no former champion, or its proof does not hold any more.
        RegistryError: There is no such version.
        ServiceError: No guarded server answers.
    """
    model_registry.connect(mlflow_uri)
    done = _change("rollback", slot, mlflow_uri, by, why or "rollback", {} if version is None else {"version": version})
    if done.changed:
        log(f"{slot} v{done.version} is the champion again, in place of v{done.previous}")
    return done


def retire_slot(slot: Slot, *, mlflow_uri: str, why: str, by: str = "", log: Log = print) -> Promotion:
    """Leave a slot without champion.

    Args:
        slot: The slot.
        mlflow_uri: Address of the MLflow server.
        why: Reason, for the record.
        by: Name of the person who decides; empty takes the user of this process.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: The slot has no champion.
        ServiceError: No guarded server answers.
    """
    model_registry.connect(mlflow_uri)
    done = _change("retire", slot, mlflow_uri, by, why, {})
    log(f"{slot} v{done.previous} is retired; the slot has no champion")
    return done


def _change(
    action: Literal["promote", "rollback", "retire"], slot: Slot, uri: str, by: str, why: str, more: dict[str, Any]
) -> Promotion:
    done = change_champion(uri, action, slot, by=by or _user(), reason=why, **more)
    previous = done.previous if done.changed or action == "rollback" else None
    return Promotion(slot, done.version, previous, done.changed, done.by, why)


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
