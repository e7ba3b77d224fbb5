from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from pipelines.tuning.apply_settings import apply_change, changed_text
from pipelines.tuning.search_space import SearchSpace

SLOT = Slot("plant-a", "asr")
TEXT = """\
# the settings of the plants
backbone: elp:tiny   # the embedded one

slots:
  # the loud hall
  plant-a/asr:
    data: {min_snr_db: -10}   # loud
    train:
      epochs: 30    # more than usual
    adapter: {encoder: {bottleneck: 64}}
  plant-b/asr: {train: {epochs: 12}}  # quiet

schedules:
  night:
    slots: ["plant-a/asr"]
    cron: "0 3 * * *"
"""


def change() -> dict[str, object]:
    space = SearchSpace(read_settings(TEXT).for_slot(SLOT), (3, 1, 0, 2))
    point = space.starting_points()[0] | {"lr_head": 1e-3, "head_width_log2": 6}
    return space.candidate(point).settings()


def workspace(tmp_path: Path, text: str) -> Workspace:
    (tmp_path / "elp.yaml").write_text(text)
    return open_workspace(tmp_path)


def test_only_the_lines_of_the_slot_change(tmp_path: Path) -> None:
    opened = workspace(tmp_path, TEXT)
    assert apply_change(opened, SLOT, change(), write=False)
    assert (tmp_path / "elp.yaml").read_text() == TEXT
    diff = apply_change(opened, SLOT, change())
    changed = [line for line in diff.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert [line for line in changed if line[0] == "-"] == ["-    adapter: {encoder: {bottleneck: 64}}"]
    assert [line.split(":")[0].strip("+ ") for line in changed if line[0] == "+"] == [
        "lr_head", "lr_layer", "lr_encoder", "adapter", "task", "width", "dilations",
    ]  # fmt: skip
    before, after = read_settings(TEXT).for_slot(SLOT), open_workspace(tmp_path).settings.for_slot(SLOT)
    assert after.train == replace(before.train, lr_head=1e-3)
    assert after.adapter.layer is not None
    assert after.adapter.layer.layers == (1, 3)
    assert (after.task.width, after.data) == (64, before.data)
    assert apply_change(open_workspace(tmp_path), SLOT, change()) == "", "a second time changes nothing"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "backbone: elp:tiny\n", "slots: {}\n"])
def test_a_slot_that_has_no_settings_gets_them(text: str) -> None:
    after = changed_text(text, SLOT, change())
    assert after.startswith(text.replace("slots: {}\n", ""))
    assert read_settings(after).for_slot(SLOT).task.width == 64


def test_settings_that_two_slots_share_are_not_changed(tmp_path: Path) -> None:
    shared = "slots:\n  plant-a/asr: &small {train: {epochs: 3}}\n  plant-b/asr: *small\n"
    opened = workspace(tmp_path, shared)
    with pytest.raises(UsageError, match="shares settings of plant-a/asr with plant-b/asr"):
        apply_change(opened, SLOT, change())
    assert (tmp_path / "elp.yaml").read_text() == shared
