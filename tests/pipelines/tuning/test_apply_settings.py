from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import StateDamaged, UsageError, WorkspaceError
from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.tuning.apply_settings import applied_before, apply_winner, changed_text, note_applied
from pipelines.tuning.search_space import SearchSpace
from pipelines.tuning.tuning_result import TriedConfiguration, TuningResult

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
    point = space.starting_points()[0] | {"lr_head": 1e-3, "head_width_log2": 6, "head_depth": 2}
    return space.candidate(point).settings()


def workspace(tmp_path: Path, text: str) -> Workspace:
    (tmp_path / "elp.yaml").write_text(text)
    return open_workspace(tmp_path)


def test_only_the_lines_of_the_slot_change(tmp_path: Path) -> None:
    opened = workspace(tmp_path, TEXT)
    assert apply_winner(opened, SLOT, change(), write=False)
    assert (tmp_path / "elp.yaml").read_text() == TEXT
    diff = apply_winner(opened, SLOT, change())
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
    assert apply_winner(open_workspace(tmp_path), SLOT, change()) == "", "a second time changes nothing"


def test_the_same_command_is_recognised_until_settings_data_or_options_change(tmp_path: Path) -> None:
    opened, options = workspace(tmp_path, TEXT), {"minutes": 60.0, "version": "latest"}
    trial = TriedConfiguration("E 32", change(), "present", "finished", 0.1, 10, 1.0, 1.0)
    found = TuningResult(
        slot=str(SLOT), dataset="data/plant-a/asr/v3", backbone="elp:tiny", study="0" * 16, metric="wer", margin=0.02,
        epochs=3, trial_epochs=1, seeds=(1,), seconds=1.0, parameter_limit=5, layer_shares=(1.0,), note="",
        trials=(trial,),
    )  # fmt: skip
    assert applied_before(opened, SLOT, found.dataset, options) is None
    apply_winner(opened, SLOT, change())
    note_applied(opened, SLOT, options, found)
    assert applied_before(opened, SLOT, found.dataset, options) is None, "with the settings of before"
    again = open_workspace(tmp_path)
    assert plain(applied_before(again, SLOT, found.dataset, options)) == plain(found)
    assert applied_before(again, SLOT, "data/plant-a/asr/v4", options) is None
    assert applied_before(again, SLOT, found.dataset, options | {"minutes": 90.0}) is None
    (record,) = (again.state / "tuning").glob("applied-*.json")
    for damage in (b"", b"{", b"[]", b"{}", record.read_bytes().replace(b'"dataset"', b'"datasex"')):
        record.write_bytes(damage)
        with pytest.raises(StateDamaged, match="delete it; the same command then begins a new study"):
            applied_before(again, SLOT, found.dataset, options)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "backbone: elp:tiny\n", "slots: {}\n"])
def test_a_slot_that_has_no_settings_gets_them(text: str) -> None:
    after = changed_text(text, SLOT, change())
    assert after.startswith(text.replace("slots: {}\n", ""))
    assert read_settings(after).for_slot(SLOT).task.width == 64


def test_settings_that_two_slots_share_are_not_changed(tmp_path: Path) -> None:
    shared = "slots:\n  plant-a/asr: &small {train: {epochs: 3}}\n  plant-b/asr: *small\n"
    opened = workspace(tmp_path, shared)
    with pytest.raises(UsageError, match="shares settings of plant-a/asr with plant-b/asr"):
        apply_winner(opened, SLOT, change())
    assert (tmp_path / "elp.yaml").read_text() == shared


ODD = """\
schedules:
    night:
        slots:
          - plant-a/asr
        cron: "0 3 * * *"
backbone:   elp:tiny       # far right
slots:
    plant-a/asr:
        language:    {code: en}
        adapter:      # as in the first year
            encoder:
                bottleneck: 64   # small

        # the room is loud
        data: {min_snr_db:
                 -10}
        gate:
            safety: {max_slowdown: ~}
        train: {epochs: 30}
    # the quiet one
    plant-b/asr: {adapter: {layer: null}}
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_that_are_not_meant_stay_byte_by_byte(tmp_path: Path, newline: str) -> None:
    text = ODD.replace("\n", newline)
    root = workspace(tmp_path, "")
    (tmp_path / "elp.yaml").write_bytes(text.encode())
    apply_winner(root, SLOT, change())
    after = (tmp_path / "elp.yaml").read_bytes().decode()
    assert after.count("\n") == after.count(newline)
    gone = [line for line in text.splitlines() if line not in after.splitlines()]
    assert [line.strip() for line in gone] == ["encoder:", "bottleneck: 64   # small", "train: {epochs: 30}"]
    assert open_workspace(tmp_path).settings.for_slot(SLOT).task.width == 64


def test_a_text_that_cannot_be_changed_safely_is_refused() -> None:
    merged = "defaults: {asr: {train: &all {epochs: 3}}}\nslots:\n  plant-a/asr:\n    train:\n      <<: *all\n"
    assert read_settings(changed_text(merged, SLOT, change())).for_slot(SLOT).train.epochs == 3
    base = "defaults: {asr: &all {train: {epochs: 3}}}\nslots:\n  plant-a/asr:\n    <<: *all\n"
    with pytest.raises(WorkspaceError, match="cannot be changed safely; set by hand: slots"):
        changed_text(base, SLOT, change())
