"""The one door through which a slot's champion changes.

Whatever makes a version champion (a promotion, a rollback, policy) calls `set_champion`; a server-side guard or a
ledger of changes hooks in here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.clients.mlflow_server import answering
from pipelines.clients.registry import annotate, champion, find, get, remove_alias
from pipelines.clients.versions import CHALLENGER, CHAMPION, AdapterVersion, Tags
from pipelines.errors import RegistryError
from pipelines.settings import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient


@answering
def set_champion(
    client: MlflowClient, slot: Slot, version: int, *, by: str, why: str, event: str = "promoted"
) -> AdapterVersion:
    """Make `version` the champion and write down who did it, when, why and in whose place.

    The alias moves in one call; the tags around it can be written again, so a run killed in between is repaired by the
    next. Nothing happens where `version` is the champion already.

    Args:
        client: Connection to the MLflow server.
        slot: The slot.
        version: Version to serve from now on.
        by: Who decided.
        why: In a sentence.
        event: ``promoted`` or ``rolled back``; a rollback leaves the version's own predecessor as it was.

    Raises:
        RegistryError: where the version does not exist or the server refuses.
    """
    before = champion(client, slot)
    chosen = get(client, slot, version)
    if before is not None and before.version == version:
        return before
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"at": now, "by": by, "why": why, "event": event, "from": before.version if before else None}
    tags = {Tags.PROMOTED_AT: now, Tags.PROMOTED_BY: by, Tags.PROMOTED_WHY: why, Tags.STATUS: CHAMPION}
    if event != "rolled back":
        tags[Tags.PREDECESSOR] = str(before.version) if before else ""
    annotate(client, slot, version, {**tags, Tags.HISTORY: _appended(chosen, entry)})
    client.set_registered_model_alias(slot.model_name, CHAMPION, str(version))
    if before is not None:
        left = {**entry, "event": "retired" if event == "promoted" else event + " from", "from": None, "to": version}
        annotate(client, slot, before.version, {Tags.STATUS: "retired", Tags.HISTORY: _appended(before, left)})
    challenger = find(client, slot, CHALLENGER)
    if challenger is not None and challenger.version == version:
        remove_alias(client, slot, CHALLENGER)
    return get(client, slot, version)


def history(version: AdapterVersion) -> list[dict[str, Any]]:
    """Every time this version became champion or ceased to be, oldest first."""
    text = version.tags.get(Tags.HISTORY, "")
    try:
        entries = json.loads(text) if text else []
    except ValueError as error:
        raise RegistryError(
            f"{version.name}: its tag {Tags.HISTORY} is not JSON; set it right in the MLflow UI"
        ) from error
    return [dict(entry) for entry in entries]


def _appended(version: AdapterVersion, entry: Mapping[str, Any]) -> str:
    return json.dumps([*history(version), dict(entry)], sort_keys=True, separators=(",", ":"))
