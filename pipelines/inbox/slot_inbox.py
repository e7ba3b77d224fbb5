"""The inbox of a slot: a folder or a bucket prefix, opened by its address in `elp.yaml`."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from elp_core.files import write_whole
from pipelines.errors import UsageError, WorkspaceError
from pipelines.inbox.bucket_inbox import BucketInbox, bucket_slots, open_bucket
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.inbox.folder_listing import folder_slots
from pipelines.inbox.inbox_looks import Looks, looks_file
from pipelines.local.inbox_places import inbox_conflicts
from pipelines.local.inbox_settings import BUCKET, InboxSettings
from pipelines.local.secret_values import give_data_secrets
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.registry.slot import Slot

SlotInbox = FolderInbox | BucketInbox


def open_inbox(workspace: Workspace, slot: Slot, looks: Looks) -> tuple[SlotInbox, Looks]:
    """Return the inbox of a slot, and the looks with the mount point that it has now.

    Raises WorkspaceError, with the name of this machine, if a folder that `elp.yaml` names is not there, or is no
    longer below the mount point where it was: an empty mount point must not look like an empty inbox.
    """
    address = workspace.settings.inbox_of(slot)
    if address.startswith(BUCKET):
        return open_bucket(address, _endpoint(workspace)), looks
    folder = _folder(workspace, address)
    _require_own_place(workspace, slot)
    base = _base(workspace, slot)
    if base is None:
        found = FolderInbox(folder)
        if workspace.settings.git and found.entries():
            # runs read a clone, and no worker would ever see them
            raise WorkspaceError(
                f"deliveries wait in {folder} on {socket.gethostname()}, which no worker can see, because git: is set; "
                "set inbox.path to a folder that every worker has or to a bucket, and move them there"
            )
        return found, looks
    host = socket.gethostname()
    _require_folder(base, str(slot))
    mount = str(next(place for place in (base, *base.parents) if place.is_mount()))
    if looks.mount and looks.mount != mount:
        raise WorkspaceError(
            f"the inbox {base} of {slot} was below the mount point {looks.mount} on {host}, which is not mounted now; "
            f"mount it, or if it was moved for good, delete {looks_file(workspace, slot)}"
        )
    return FolderInbox(folder), replace(looks, mount=mount)


def _require_own_place(workspace: Workspace, slot: Slot) -> None:
    """Raise WorkspaceError if another slot's folder is in this one or contains it, as seen from this workspace."""
    settings = workspace.settings
    own = {name: one["inbox"] for name, one in settings.slots.items() if "inbox" in one}
    found = inbox_conflicts(settings.inbox.path, own, {"remote": settings.remote}, workspace.root)
    if fault := next((one.fault for one in found if str(slot) in (one.slot, one.other)), None):
        raise WorkspaceError(f"{SETTINGS_FILE}: {fault}")


def _folder(workspace: Workspace, address: str) -> Path:
    try:
        return workspace.root / Path(address).expanduser()
    except RuntimeError as error:
        raise WorkspaceError(f"the inbox {address} is not known on {socket.gethostname()}: {error}") from error


def owner_id(workspace: Workspace) -> str:
    """Return the id of the workspace's state folder: what claimed under it ended with its lock."""
    path = workspace.state / "inbox" / "owner"
    with contextlib.suppress(FileNotFoundError):
        if found := path.read_text(encoding="utf-8").strip():
            return found
    write_whole(path, uuid.uuid4().hex + "\n")
    return path.read_text(encoding="utf-8").strip()


def inbox_slots(workspace: Workspace) -> list[Slot]:
    """Return the slots that have a folder or a prefix in an inbox, or an inbox of their own in `elp.yaml`, by name."""
    settings = workspace.settings
    found = {name for name, own in settings.slots.items() if "inbox" in own}
    if settings.inbox.path.startswith(BUCKET):
        names = bucket_slots(settings.inbox.path, _endpoint(workspace))
    else:
        base = _folder(workspace, settings.inbox.path)
        if settings.inbox.path != InboxSettings().path:
            _require_folder(base, "every slot")
        names = list(folder_slots(base))
    found |= {f"{site}/{task}" for site, task in names}
    return sorted(_slots(found), key=str)


def missing_inbox(workspace: Workspace) -> str:
    """Return why the folder of all inboxes cannot be read; empty if it can, or if they are in a bucket."""
    if workspace.settings.inbox.path.startswith(BUCKET):
        # a store that is away takes long to say so
        return ""
    try:
        inbox_slots(workspace)
    except (WorkspaceError, OSError) as error:
        return str(error)
    return ""


def _slots(names: set[str]) -> Iterator[Slot]:
    for name in names:
        # a folder of another name is none of a slot
        with contextlib.suppress(UsageError):
            yield Slot.parse(name)


def _require_folder(base: Path, slots: str) -> None:
    if not base.is_dir():
        raise WorkspaceError(
            f"the inbox {base} of {slots} does not exist on {socket.gethostname()}; mount or make it there, or correct "
            "inbox in elp.yaml"
        )


def _endpoint(workspace: Workspace) -> str:
    """Return the address of the S3 store, empty for that of the environment or of AWS; set the keys of its user."""
    give_data_secrets(workspace.root)
    return workspace.settings.servers.s3_endpoint


def _base(workspace: Workspace, slot: Slot) -> Path | None:
    """Return the folder that a person made and that has to be there; None for `inbox/` of the workspace."""
    settings = workspace.settings
    own = settings.slots.get(str(slot), {}).get("inbox")
    if own is None and settings.inbox.path == InboxSettings().path:
        return None
    return Path(os.path.abspath(_folder(workspace, own or settings.inbox.path)))
