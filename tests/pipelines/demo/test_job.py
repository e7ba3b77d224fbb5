from __future__ import annotations

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.demo.job import _remove_unfinished
from pipelines.demo.rows import Row, add_row, read_rows
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace

ROW = Row("plant-a/asr", "first", "wer", 1.0, 0.1234, None, "passed", 4.6, 1_900_000, 7_600_000, 41.4, 1)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "rows.json") == []
    add_row(tmp_path / "rows.json", ROW)
    assert read_rows(tmp_path / "rows.json") == [ROW]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.json"]


def test_a_row_has_a_cell_for_every_header() -> None:
    assert ROW.cells() == {
        "slot": "plant-a/asr",
        "delivery": "first",
        "metric": "WER",
        "before": "100.0%",
        "candidate": "12.3%",
        "champion": "none yet",
        "verdict": "passed",
        "audio min": "4.6",
        "trainable": "1.90 M",
        "bundle": "7.6 MB",
        "trained in": "41 s",
    }


def test_rows_added_from_several_threads_are_all_kept(tmp_path: Path) -> None:
    rows = [dataclasses.replace(ROW, version=number, delivery=f"d{number}") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(functools.partial(add_row, tmp_path / "rows.json"), rows))
    assert sorted(read_rows(tmp_path / "rows.json"), key=lambda row: row.version) == rows


def test_the_unfinished_deliveries_of_a_killed_demo_are_removed(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming" / "plant-a"
    for name in (".first-x1y2", ".swapped-abc", "first", ".mine"):
        (incoming / name / "new" / "audio").mkdir(parents=True)
    _remove_unfinished(Workspace(tmp_path, Settings()))
    assert sorted(path.name for path in incoming.iterdir()) == [".mine", "first"]
