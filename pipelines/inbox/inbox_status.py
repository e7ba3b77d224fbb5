"""What is in the inboxes, for people and for the supervision: one row for each delivery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.inbox.inbox_entry import shown_name
from pipelines.inbox.inbox_looks import read_looks, write_looks
from pipelines.inbox.slot_inbox import inbox_slots, open_inbox
from pipelines.inbox.take_deliveries import look_at
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

State = Literal["waiting", "incomplete", "claimed", "refused", "taken"]


@dataclass(frozen=True)
class InboxRow:
    """One delivery."""

    slot: str
    name: str
    state: State
    detail: str
    """Why it is incomplete or was refused, who has claimed it, or the version that holds it."""
    at: str = ""
    """When it was claimed, refused or taken. UTC, ISO 8601."""
    fingerprint: str = ""
    """Changes with its content."""

    @property
    def needs_run(self) -> bool:
        """Return whether a run is to take it in, or to record and report that it is refused: only a run does that."""
        return self.state == "waiting" or (self.state == "refused" and not self.at)


def inbox_rows(workspace: Workspace, slots: Sequence[Slot] = (), taken: int = 10) -> list[InboxRow]:
    """Return what is in the inboxes of these slots, or of all; of what was taken in, the newest of each slot.

    This is a look, too: a later one can find that a listing is the same. Raises WorkspaceError if an inbox is not
    visible on this machine.
    """
    return [row for slot in slots or inbox_slots(workspace) for row in _rows(workspace, slot, taken)]


def _rows(workspace: Workspace, slot: Slot, limit: int) -> Iterator[InboxRow]:
    looks = read_looks(workspace, slot, workspace.settings.inbox_of(slot))
    inbox, seen = open_inbox(workspace, slot, looks)
    if seen != looks:
        write_looks(workspace, slot, seen)
    refused = {one.fingerprint: one for one in inbox.refusals()}
    # one without a name has no delivery in it
    claimed = {one.fingerprint: one for one in inbox.claims() if one.name}
    base = InboxRow(str(slot), "", "waiting", "")
    for entry, ready in look_at(workspace, slot, inbox):
        row = replace(base, name=shown_name(entry.name), fingerprint=entry.fingerprint)
        if claim := claimed.pop(entry.fingerprint, None):
            # in a bucket, a claimed delivery stays where it is
            yield replace(row, state="claimed", detail=f"by {claim.host}", at=claim.at)
        elif refusal := refused.get(entry.fingerprint):
            yield replace(row, state="refused", detail=refusal.reason, at=refusal.at)
        elif ready.state == "complete":
            yield replace(row, detail=f"{len(entry.files):,} files, {entry.size:,} bytes")
        elif ready.state == "faulty":
            yield replace(row, state="refused", detail=ready.reason)
        else:
            yield replace(row, state="incomplete", detail=ready.reason)
    for claim in claimed.values():
        detail = f"by {claim.host or 'a machine that is gone'}"
        yield replace(base, name=shown_name(claim.name), state="claimed", detail=detail, at=claim.at)
    for one in inbox.taken(limit):
        yield replace(base, name=shown_name(one.name), state="taken", detail=one.version, at=one.at)
