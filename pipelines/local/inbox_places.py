"""Where the inboxes of slots are, and which of them contain each other: one would take in the other's deliveries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import UsageError
from pipelines.local.inbox_settings import BUCKET, inbox_fault
from pipelines.registry.slot import Slot

_UNKNOWN_ROOT = Path(os.sep, *["(workspace)"] * 16)
"""Stands for the folder of a workspace if only its settings are known; relative addresses are compared in it."""

Place = tuple[str, ...]
"""The parts of an address: a place is in another one if it begins with its parts."""


def inbox_conflicts(
    common: str, own: Mapping[str, str], stores: Mapping[str, str], root: Path = _UNKNOWN_ROOT
) -> list[str]:
    """Return a sentence on each slot's inbox that is, contains or is in the inbox of another slot, or contains a store.

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
    faults, owners = [], dict[Place, str]()
    for name, place in places.items():
        if (first := owners.setdefault(place, name)) != name:
            faults.append(_fault(name, own, f"is the inbox of {first}, too"))
    for name, place in places.items():
        if outer := next((owners[place[:n]] for n in range(1, len(place)) if place[:n] in owners), None):
            faults.append(_fault(name, own, f"is in the inbox of {outer}"))
        elif _in(root.parts, place):
            faults.append(_fault(name, own, "is or contains the workspace"))
        elif _in(shared, place):
            faults.append(_fault(name, own, f"is or contains inbox.path ({common}), the inboxes of other slots"))
        elif _in(place, shared) and (other := _other_slot(place[len(shared) :], name, own)):
            faults.append(_fault(name, own, f"is, contains or is in the inbox of {other} below inbox.path"))
        elif store := next((one for one, there in others.items() if _in(there, place)), None):
            faults.append(_fault(name, own, f"contains {store} ({stores[store]}), which is no delivery"))
    return faults


def _fault(name: str, own: Mapping[str, str], relation: str) -> str:
    return f"slots.{name}.inbox is {own[name]!r}, which {relation}; give each slot a place that is in no other's"


def _place(address: str, root: Path) -> Place:
    """Return the place of an address, without links resolved: other machines have other links."""
    if address.startswith(BUCKET):
        name, _, prefix = address.removeprefix(BUCKET).partition("/")
        return (BUCKET, name, *(prefix.strip("/").split("/") if prefix.strip("/") else ()))
    return Path(os.path.normpath(root / Path(address).expanduser())).parts


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
