"""The winner of a study in `elp.yaml`: written into the slot's settings, with all comments and everything else kept.

What was applied is kept next to the reports, because the next study of the changed settings is another one.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elp_core.config import from_dict, to_dict
from elp_core.files import write_whole
from pipelines.comparison.trial_runner import json_digest
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.settings import Settings, read_settings
from pipelines.local.state_file import read_back
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.local.yaml_splice import set_in_yaml
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.tuning.tuning_result import TuningResult


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


def note_applied(workspace: Workspace, slot: Slot, options: Mapping[str, Any], found: TuningResult) -> None:
    """Keep what was applied with which options: the slot's settings have changed, so the same command means another."""
    settings = read_settings((workspace.root / SETTINGS_FILE).read_text(encoding="utf-8"))
    record = {"of": _command(settings, slot, found.dataset, options), "tuning": plain(found)}
    write_whole(_applied_file(workspace, slot), json.dumps(record, sort_keys=True))


def applied_before(workspace: Workspace, slot: Slot, dataset: str, options: Mapping[str, Any]) -> TuningResult | None:
    """Return the study whose winner `elp.yaml` has since the same command on the same data; None if there is none."""
    path = _applied_file(workspace, slot)
    again = "delete it; the same command then begins a new study, on the settings that have the winner"
    with contextlib.suppress(FileNotFoundError), read_back(path, again):
        record = json.loads(path.read_bytes())
        if record["of"] == _command(workspace.settings, slot, dataset, options):
            return from_dict(TuningResult, record["tuning"], "it")
    return None


def _applied_file(workspace: Workspace, slot: Slot) -> Path:
    return workspace.state / "tuning" / f"applied-{slot.site}-{slot.task}.json"


def _command(settings: Settings, slot: Slot, dataset: str, options: Mapping[str, Any]) -> str:
    return json_digest([to_dict(settings.for_slot(slot)), dataset, dict(options)])


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
