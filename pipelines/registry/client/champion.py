"""Promote a challenger that passed.

The server decides. The client refuses only what the server cannot know: a verdict under other limits than the
workspace has now, or on another golden set than the one pinned now.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.errors import GateRefused, RegistryError
from pipelines.registry.adapter_version import CHALLENGER, AdapterVersion
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import change_champion
from pipelines.registry.registered_adapter import ChampionChange
from pipelines.registry.slot import Slot


def promote_version(
    slot: Slot,
    version: int | None = None,
    *,
    mlflow_uri: str,
    policy: str,
    golden: str = "",
    by: str = "",
    reason: str = "",
    again: bool = False,
    log: Callable[[str], None] = print,
) -> ChampionChange:
    """Make a version the champion, if its signed verdict passed against the champion of this moment.

    Args:
        slot: The slot.
        version: Version to promote; None takes the one with the alias ``challenger``.
        mlflow_uri: Address of the MLflow server.
        policy: `policy_digest` of the limits that the workspace has now.
        golden: Tag of the golden set that is pinned now; empty does not compare it.
        by: Name of the person who decides, as in `change_champion`.
        reason: Reason, for the record; if it is empty, the server writes one.
        again: Promote even a version that was rolled back before.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: The version was not gated, did not pass, or passed against something that no longer holds.
        RegistryError: There is no such version.
        ServiceError: No guarded server answers.
    """
    client = connect(mlflow_uri)
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
    done = change_champion(mlflow_uri, "promote", slot, version=chosen.version, by=by, reason=reason, again=again)
    instead = f", in place of v{done.previous}" if done.previous else ""
    log(f"{chosen.name} is the champion now{instead}" if done.changed else f"{chosen.name} is the champion already")
    return done


def _refuse_other_terms(chosen: AdapterVersion, policy: str, golden: str) -> None:
    """Refuse a verdict made under other limits, or on another golden set, than this workspace has now."""
    record, gate = chosen.gate_record, f"gate it again: elp gate {chosen.slot} --version {chosen.version}"
    if record is None or record.verdict != "passed":
        return
    if record.policy != policy:
        raise GateRefused(f"{chosen.name} passed under other limits than elp.yaml has now; {gate}")
    if golden and record.golden != golden:
        raise GateRefused(f"{chosen.name} passed on {record.golden}, but {golden} is pinned now; {gate}")
