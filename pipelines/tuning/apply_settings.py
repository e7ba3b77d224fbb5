"""The winner of a study in `elp.yaml`: written into the slot's settings, with all comments and everything else kept."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from elp_core.config import to_dict
from elp_core.files import write_whole
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.local.yaml_splice import set_in_yaml
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot


def apply_winner(workspace: Workspace, slot: Slot, change: Mapping[str, Any], *, write: bool = True) -> str:
    """Write settings of a slot into `elp.yaml`, and return the difference as a unified diff; empty if there is none.

    `adapter` replaces the slot's one, `train` and `task` change single keys. Without `write`, the file stays as it is.
    Raises UsageError if another slot's settings would change, too, because both are one YAML anchor.
    """
    path = workspace.root / SETTINGS_FILE
    # not as text: that would change the ends of lines
    before = path.read_bytes().decode("utf-8")
    after = changed_text(before, slot, change)
    _require_only(before, after, slot, change)
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    diff = "".join(difflib.unified_diff(old, new, SETTINGS_FILE, f"{SETTINGS_FILE} (tuned)"))
    if write and diff:
        write_whole(path, after)
    return diff


def changed_text(text: str, slot: Slot, change: Mapping[str, Any]) -> str:
    """Return the text of `elp.yaml` with the settings of a slot changed; raise WorkspaceError if that is not safe."""
    own, changes = ("slots", str(slot)), list[tuple[tuple[str, ...], Any]]()
    for name, values in plain(change).items():
        if name == "adapter":
            changes.append(((*own, name), values))
        else:
            changes += [((*own, name, key), value) for key, value in values.items()]
    return set_in_yaml(text, changes, SETTINGS_FILE)


def _require_only(before: str, after: str, slot: Slot, change: Mapping[str, Any]) -> None:
    """Refuse a text in which other settings changed as well, or those of the slot did not."""
    old, new = read_settings(before), read_settings(after)
    slots = sorted({*old.slots, *(f"any/{task}" for task in old.defaults)} - {str(slot)})
    others = [name for name in slots if old.for_slot(Slot.parse(name)) != new.for_slot(Slot.parse(name))]
    if others or _apart_from_slots(old) != _apart_from_slots(new):
        named = ", ".join(others) or "other settings"
        raise UsageError(
            f"{SETTINGS_FILE} shares settings of {slot} with {named} (a YAML anchor); write the settings of {slot} out "
            "there, then run the command again"
        )
    found = to_dict(new.for_slot(slot))
    wrong = [
        f"{name}.{key}" for name, values in change.items() for key, value in values.items() if found[name][key] != value
    ]
    if wrong:
        raise WorkspaceError(f"{', '.join(wrong)} of {slot} could not be set in {SETTINGS_FILE}; set it by hand")


def _apart_from_slots(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in vars(settings).items() if name not in ("slots", "_slots_read")}
