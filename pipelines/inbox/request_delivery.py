"""A logged request as a delivery in the slot's inbox: its audio, the words of a person, and the consent.

    request-ID/ID.flac, manifest.jsonl, SHA256SUMS

It is taken in like every other delivery, with the same checks, and refused or put into quarantine by the same rules.
The name follows from the request, so a second click makes no second delivery.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.errors import WorkspaceError
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.inbox.inbox_looks import read_looks
from pipelines.inbox.slot_inbox import SlotInbox, open_inbox
from pipelines.local.inbox_settings import BUCKET, InboxSettings
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import KeptAudio
from pipelines.request_log.request_corrections import RequestCorrection
from pipelines.request_log.served_request import ServedRequest

State = Literal["waiting", "claimed", "refused", "taken", "gone"]
_LISTED = 1000
"""Newest deliveries among which one that was taken is looked for."""


@dataclass(frozen=True)
class DeliveryState:
    """What became of a delivery."""

    state: State
    detail: str = ""
    """Why it was refused, or the version that holds it."""


def delivery_name(record: ServedRequest) -> str:
    """Return the name of the delivery of a request."""
    return f"request-{record.id[:16]}"


def deliver_request(root: Path, record: ServedRequest, correction: RequestCorrection, audio: KeptAudio) -> str:
    """Put a request into the inbox of its slot in the workspace `root`; return the name of the delivery.

    Raises WorkspaceError if the inbox is not there, cannot be written to, or no worker would see it.
    """
    workspace, name = open_workspace(root), delivery_name(record)
    row = {
        "audio_filepath": f"{record.id}.flac",
        "duration": record.seconds,
        "text": correction.text,
        "label": correction.label,
        "speaker": correction.speaker,
        "consent": audio.consent,
        "request": record.id,
        "corrected_by": correction.by,
    }
    line = json.dumps({key: value for key, value in row.items() if value != ""}, ensure_ascii=False)
    files = {f"{record.id}.flac": audio.flac, "manifest.jsonl": f"{line}\n".encode()}
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {file}\n" for file, content in files.items())
    _opened(workspace, record.slot).deliver(name, {**files, "SHA256SUMS": sums.encode()})
    return name


def delivery_state(root: Path, slot: Slot, name: str) -> DeliveryState:
    """Return what became of a delivery that was put into the inbox of a slot."""
    inbox = _opened(open_workspace(root), slot)
    # in the order in which it moves, so that one that moves meanwhile is found; those that were taken are many
    entry = next((one for one in inbox.entries() if one.name == name), None)
    claim = next((one for one in inbox.claims() if one.name == name), None)
    if claim:
        return DeliveryState("claimed", claim.host)
    if entry:
        # another content than the refused one is tried again
        refused = next((one for one in inbox.refusals() if one.fingerprint == entry.fingerprint), None)
        return DeliveryState("refused", refused.reason) if refused else DeliveryState("waiting")
    if taken := next((one for one in inbox.taken(_LISTED) if one.name == name), None):
        return DeliveryState("taken", taken.version)
    # a claim that ended without a result puts it back
    return DeliveryState("waiting" if any(one.name == name for one in inbox.entries()) else "gone")


def _opened(workspace: Workspace, slot: Slot) -> SlotInbox:
    address = workspace.settings.inbox_of(slot)
    inbox, _ = open_inbox(workspace, slot, read_looks(workspace, slot, address))
    if workspace.settings.git and address == InboxSettings().of_slot(slot) and isinstance(inbox, FolderInbox):
        raise WorkspaceError(
            f"runs read a clone of the workspace (git: is set) and would not see {inbox.folder}; set inbox.path in "
            f"elp.yaml to a folder that every worker has, or to {BUCKET}BUCKET/PREFIX"
        )
    return inbox
