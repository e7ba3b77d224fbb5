"""The winner of a study in `elp.yaml`: written into the slot's settings, with all comments and everything else kept."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from elp_core.files import write_whole
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from ruamel.yaml import YAML

_LINE = 4096
"""Longest line that is not broken: lines of people stay as they are."""


def apply_change(workspace: Workspace, slot: Slot, change: Mapping[str, Any], *, write: bool = True) -> str:
    """Write settings of a slot into `elp.yaml`, and return the difference as a unified diff; empty if there is none.

    `adapter` replaces the slot's one, `train` and `task` change single keys. Without `write`, the file stays as it is.
    Raises UsageError if another slot's settings would change, too, because both are one YAML anchor.
    """
    path = workspace.root / SETTINGS_FILE
    before = path.read_text(encoding="utf-8")
    after = changed_text(before, slot, change)
    _require_only(before, after, slot, change)
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    diff = "".join(difflib.unified_diff(old, new, SETTINGS_FILE, f"{SETTINGS_FILE} (tuned)"))
    if write and diff:
        write_whole(path, after)
    return diff


def changed_text(text: str, slot: Slot, change: Mapping[str, Any]) -> str:
    """Return the text of `elp.yaml` with the settings of a slot changed."""
    from ruamel.yaml.comments import CommentedMap

    yaml = _round_trip()
    content = yaml.load(text)
    if content is None:
        content = CommentedMap()
    if not isinstance(content, MutableMapping):
        raise WorkspaceError(f"{SETTINGS_FILE} is not a mapping; correct it and run the command again")
    own = _inner(_inner(content, "slots"), str(slot))
    for name, values in change.items():
        if name == "adapter":
            own[name] = _flowing(values)
        else:
            _inner(own, name).update(_flowing(values))
    written = io.StringIO()
    yaml.dump(content, written)
    # a file of comments alone: they are no part of the empty document
    return (text if not yaml.load(text) else "") + written.getvalue()


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


def _round_trip() -> YAML:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _LINE
    return yaml


def _inner(mapping: MutableMapping[str, Any], name: str) -> MutableMapping[str, Any]:
    """Return the mapping at a key; made if it is missing."""
    from ruamel.yaml.comments import CommentedMap

    if mapping.get(name) is None:
        mapping[name] = CommentedMap()
    inner: MutableMapping[str, Any] = mapping[name]
    return inner


def _flowing(values: Mapping[str, Any]) -> Any:
    """Return a mapping that is written in one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    made = CommentedMap()
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = _flowing(value)
        elif isinstance(value, list | tuple):
            value = CommentedSeq(value)
            value.fa.set_flow_style()
        made[name] = value
    made.fa.set_flow_style()
    return made
