"""What a hold may name: a hold on something that does not exist would protect nothing, and nobody would notice."""

from __future__ import annotations

from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import list_slots
from pipelines.registry.holds import HeldSubject
from pipelines.registry.slot import Slot


def require_known_subject(workspace: Workspace, uri: str, subject: HeldSubject) -> None:
    """Raise WorkspaceError if neither the workspace nor the server at `uri` knows a slot or a dataset version.

    The server refuses an unknown adapter version itself. A speaker is not searched for: a hold may be made before the
    first recording is delivered, and covers every later one.
    """
    slot, wanted = subject.slot, subject.dataset
    if slot is None or subject.version is not None:
        return
    tags = git.tags(workspace.root, f"data/{slot}/v*")
    address = workspace.settings.git
    fetch = f"; if another machine made it, run: git fetch --tags {address}" if address else ""
    if wanted is not None and slot.tag(wanted) not in tags:
        numbers = sorted(found[1] for tag in tags if (found := Slot.of_tag(tag)))
        known = (
            f"the newest is {slot.tag(numbers[-1])}, list them with: elp data log {slot}" if numbers else "it has none"
        )
        raise WorkspaceError(f"{slot} has no dataset version v{wanted}; {known}{fetch}")
    if wanted is None and not tags and slot not in list_slots(connect(uri)):
        raise WorkspaceError(
            f"{slot} has no dataset version and no adapter, so a hold on it would keep nothing; hold it after its "
            f"first delivery{fetch}"
        )
