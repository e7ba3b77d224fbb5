"""Who serves: a challenger that passed becomes champion, and the champion before comes back."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.clients import models, registry
from pipelines.clients.champions import history, set_champion
from pipelines.clients.versions import CHALLENGER, AdapterVersion, Tags, policy_digest
from pipelines.errors import GateRefused, RegistryError
from pipelines.settings import Settings, Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]
ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Promotion:
    """A change of champion, or none."""

    slot: Slot
    version: int
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
    cache: Path,
    by: str = "",
    why: str = "",
    golden: str = "",
    again: bool = False,
    log: Log = print,
) -> Promotion:
    """Make a version the champion, if its stored verdict passed against the champion of this moment.

    Args:
        slot: The slot.
        settings: Of the workspace; the gate's policy is taken from them.
        version: Version to promote; None takes the one with the alias ``challenger``.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for downloaded bundles.
        by: Who decides; empty means the user of this process.
        why: Reason, for the record.
        golden: Tag of the golden set pinned now; empty does not compare it.
        again: Promote even a version that was rolled back before.
        log: Takes one line of progress at a time.

    Raises:
        GateRefused: where the version was not gated, did not pass, or passed against something that holds no longer.
        RegistryError: where there is no such version, or its bundle is not what was judged.
    """
    client = registry.connect(mlflow_uri)
    present = registry.champion(client, slot)
    chosen = _chosen(client, slot, version, present)
    by = by or _user()
    if present is not None and chosen.version == present.version:
        log(f"{chosen.name} is the champion already")
        return Promotion(slot, chosen.version, None, False, by, why)
    _refuse_stale_verdict(chosen, present, policy_digest(settings.for_slot(slot).gate), golden)
    if not again:
        _refuse_rolled_back(chosen)
    models.download(client, chosen, cache)
    set_champion(client, slot, chosen.version, by=by, why=why or "its verdict passed")
    log(f"{chosen.name} is the champion now" + (f", in place of v{present.version}" if present else ""))
    return Promotion(slot, chosen.version, present.version if present else None, True, by, why)


def rollback(
    slot: Slot,
    settings: Settings,
    *,
    mlflow_uri: str,
    cache: Path,
    by: str = "",
    why: str = "",
    log: Log = print,
) -> Promotion:
    """Bring back the champion that the present one replaced.

    Args:
        slot: The slot.
        settings: Of the workspace.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for downloaded bundles.
        by: Who decides; empty means the user of this process.
        why: Reason, for the record.
        log: Takes one line of progress at a time.

    Raises:
        RegistryError: where the slot has no champion, it was the first, or the one before is gone or altered.
    """
    client = registry.connect(mlflow_uri)
    present = registry.champion(client, slot)
    if present is None:
        raise RegistryError(f"{slot} has no champion to roll back from; promote one first: elp promote {slot}")
    number = present.tags.get(Tags.PREDECESSOR, "")
    if not number:
        raise RegistryError(f"{present.name} is the slot's first champion: there is none before it to go back to")
    before = registry.find(client, slot, int(number))
    if before is None:
        raise RegistryError(f"{slot} v{number}, champion before v{present.version}, is no longer in the registry")
    models.download(client, before, cache)
    by = by or _user()
    set_champion(client, slot, before.version, by=by, why=why or "rollback", event=ROLLED_BACK)
    log(f"{before.name} is the champion again, in place of v{present.version}")
    return Promotion(slot, before.version, present.version, True, by, why)


def _chosen(client: MlflowClient, slot: Slot, version: int | None, present: AdapterVersion | None) -> AdapterVersion:
    if version is not None:
        return registry.get(client, slot, version)
    challenger = registry.find(client, slot, CHALLENGER)
    if challenger is not None:
        return challenger
    serving = f"; the champion is v{present.version}" if present else ""
    raise RegistryError(f"{slot} has no challenger to promote{serving}; gate a candidate first: elp gate {slot}")


def _refuse_stale_verdict(chosen: AdapterVersion, present: AdapterVersion | None, policy: str, golden: str) -> None:
    record, gate = chosen.gate_record, f"gate it again: elp gate {chosen.slot} --version {chosen.version}"
    if record is None:
        raise GateRefused(f"{chosen.name} was never gated; {gate.replace(' again', '')}")
    if record.verdict != "passed":
        raise GateRefused(
            f"{chosen.name}: the gate's verdict is {record.verdict}; its reasons: elp audit {chosen.slot}"
        )
    if record.bundle != chosen.bundle_digest:
        raise GateRefused(
            f"{chosen.name}: the verdict is about the bundle {record.bundle}, the version now holds "
            f"{chosen.bundle_digest}; {gate}"
        )
    against = f"v{record.champion}" if record.champion is not None else "no champion"
    now = f"v{present.version}" if present else "no champion"
    if against != now or (present is not None and record.champion_bundle != present.bundle_digest):
        raise GateRefused(f"{chosen.name} passed against {against}, but now there is {now}; {gate}")
    if record.policy and record.policy != policy:
        raise GateRefused(f"{chosen.name} passed under other limits than elp.yaml has now; {gate}")
    if golden and record.golden != golden:
        raise GateRefused(f"{chosen.name} passed on {record.golden}, but {golden} is pinned now; {gate}")


def _refuse_rolled_back(chosen: AdapterVersion) -> None:
    entries = history(chosen)
    if entries and str(entries[-1]["event"]).startswith(ROLLED_BACK):
        last = entries[-1]
        raise GateRefused(
            f"{chosen.name} was rolled back at {last['at']} by {last['by']} ({last['why']}); train another on better "
            f"data, or promote it on purpose: elp promote {chosen.slot} --version {chosen.version} --again"
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run under a user id without a name
        return "unknown"
