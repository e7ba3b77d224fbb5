"""What the kept scores of a cell are named by."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from pipelines.gating import divided_evaluation
from pipelines.robustness.sweep_cells import CLEAN, SimulatedCondition, SweepData, _path, cell_code


def test_only_rooms_depend_on_the_package_of_rooms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data, cells = SweepData([], [], None, {}, tmp_path), [CLEAN, SimulatedCondition("mp3", 1)]
    hall, version = SimulatedCondition("hall", 1), importlib.metadata.version
    before = [_path(data, cell, "b") for cell in (*cells, hall)]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "pyroomacoustics" else version(name))
    after = [_path(data, cell, "b") for cell in (*cells, hall)]
    assert (after[:2] == before[:2], after[2] == before[2]) == (True, False)


def test_other_code_of_the_evaluation_gives_other_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, changed = cell_code(), tmp_path / "changed.py"
    changed.write_text("# other code\n")
    monkeypatch.setattr(divided_evaluation, "__file__", str(changed))
    assert before != cell_code()
