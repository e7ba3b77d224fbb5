"""What anybody can see of a slot when its job has ended: the data, the registry, the files, the ledger."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.registry.client import bundle_models, model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import ledger_entries
from pipelines.registry.ledger.entry import MOVES
from pipelines.registry.slot import Slot

OWN = ("lineage.json", "README.md", "manifest.json")
"""Files of a bundle with times and ids of the run, and the one with their digests."""


def public_state(workspace: Workspace, slot: Slot, uri: str) -> dict[str, Any]:
    """Return the state of a slot without times, ids and its own name: equal for two slots with the same job."""
    client, root = connect(uri), workspace.root
    versions = list(model_registry.list_versions(client, slot))
    runs = client.search_runs([client.get_experiment_by_name(slot.model_name).experiment_id])
    entries = [entry for entry in ledger_entries(uri, slot) if entry.event in MOVES]
    champion = model_registry.find_champion(client, slot)
    assert (champion.version if champion else None) == (entries[-1].after if entries else None)
    with tempfile.TemporaryDirectory() as folder:
        bundles = [_files(bundle_models.download_unverified(client, version, Path(folder))) for version in versions]
    return {
        "bundles": bundles,
        "keys": len({version.key for version in versions}),
        "versions": [(v.version, v.status, v.gate_record.verdict if v.gate_record else "") for v in versions],
        "runs": sorted(run.info.status for run in runs),
        "ledger": [(entry.event, entry.before, entry.after) for entry in entries],
        "tags": sorted(
            tag.replace(str(slot), "") for kind in ("data", "golden") for tag in git.tags(root, f"{kind}/{slot}")
        ),
        "data": data_files(root / slot.folder),
        "uncommitted": git.git(root, "status", "--porcelain"),
        "left": leftovers(workspace),
    }


def leftovers(workspace: Workspace) -> list[str]:
    """Return the files that nothing would ever remove, and the locks that are held."""
    state = workspace.state
    found = [str(path) for folder in ("staging", "journal") for path in (state / folder).rglob("*") if path.is_file()]
    with suppress(TimeoutError), file_lock(state / "locks" / "data.lock", wait=0):
        return found
    return [*found, "data.lock is held"]


def data_files(folder: Path) -> dict[str, str]:
    """Return what DVC and Git track of a slot, by name."""
    return {path.name: _sum(path) for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".json"}


def _files(folder: Path) -> dict[str, str]:
    return {path.name: _sum(path) for path in sorted(folder.iterdir()) if path.name not in OWN}


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
