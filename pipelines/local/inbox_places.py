"""Where the inboxes of slots are, and which of them contain each other: one would take in the other's deliveries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import UsageError
from pipelines.local.inbox_settings import BUCKET, inbox_fault
from pipelines.registry.slot import Slot

_UNKNOWN_ROOT = Path(os.sep, *["(workspace)"] * 16)
"""Stands for the folder of a workspace if only its settings are known; relative addresses are compared in it."""

Place = tuple[str, ...]
"""The parts of an address: a place is in another one if it begins with its parts."""


class InboxConflict(NamedTuple):
    """Two inboxes of which one would take in what is in the other, or an inbox with what is no delivery."""

    slot: str
    other: str
    """The other slot; empty if it is none, or not a certain one."""
    fault: str
    """A sentence."""


def inbox_conflicts(
    common: str, own: Mapping[str, str], stores: Mapping[str, str], root: Path = _UNKNOWN_ROOT
) -> list[InboxConflict]:
    """Return each slot's inbox that is, contains or is in the inbox of another slot, or contains a store.

    Args:
        common: `inbox.path`, below which every slot without an inbox of its own has ``SITE/TASK``.
        own: Name of a slot -> the address of its own inbox.
        stores: Setting -> the address of a store, empty if it is not set.
        root: The workspace.
    """
    places = {name: _place(address, root) for name, address in own.items() if not inbox_fault(address)}
    shared = _place(common, root)
    others = {name: _place(one, root) for name, one in stores.items() if one.startswith(BUCKET) or "://" not in one}
    others = {name: place for name, place in others.items() if stores[name]}
    found, owners = [], dict[Place, str]()
    for name, place in places.items():
        if (first := owners.setdefault(place, name)) != name:
            found.append(_conflict(name, own, f"is the inbox of {first}, too", first))
    for name, place in places.items():
        if outer := next((owners[place[:n]] for n in range(1, len(place)) if place[:n] in owners), None):
            found.append(_conflict(name, own, f"is in the inbox of {outer}", outer))
        elif _in(root.parts, place):
            found.append(_conflict(name, own, "is or contains the workspace"))
        elif _in(shared, place):
            found.append(_conflict(name, own, f"is or contains inbox.path ({common}), the inboxes of other slots"))
        elif _in(place, shared) and (other := _other_slot(place[len(shared) :], name, own)):
            relation = f"is, contains or is in the inbox of {other} below inbox.path"
            found.append(_conflict(name, own, relation, other))
        elif store := next((one for one, there in others.items() if _in(there, place)), None):
            found.append(_conflict(name, own, f"contains {store} ({stores[store]}), which is no delivery"))
    return found


def _conflict(name: str, own: Mapping[str, str], relation: str, other: str = "") -> InboxConflict:
    fault = f"slots.{name}.inbox is {own[name]!r}, which {relation}; give each slot a place that is in no other's"
    return InboxConflict(name, other, fault)


def _place(address: str, root: Path) -> Place:
    """Return the place of an address, without links resolved: other machines have other links."""
    if address.startswith(BUCKET):
        name, _, prefix = address.removeprefix(BUCKET).partition("/")
        return (BUCKET, name, *(prefix.strip("/").split("/") if prefix.strip("/") else ()))
    path = Path(address)
    # without a home, it is compared as it is written
    with contextlib.suppress(RuntimeError):
        path = path.expanduser()
    return Path(os.path.normpath(root / path)).parts


def _in(inner: Place, outer: Place) -> bool:
    return inner[: len(outer)] == outer


def _other_slot(inner: Place, name: str, own: Mapping[str, str]) -> str:
    """Return which other slots have their inbox at a place below the common one; empty if none can have it."""
    # a folder of a site contains the inboxes of all of its tasks, also of those that come later
    text = "/".join(inner[:2]) if len(inner) > 1 else f"{inner[0]}/asr"
    try:
        slot = str(Slot.parse(text))
    except UsageError:
        return ""
    if len(inner) == 1:
        return f"every slot of {inner[0]}"
    return "" if slot == name or slot in own else slot
