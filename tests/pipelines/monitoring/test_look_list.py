from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import WorkspaceError
from pipelines.monitoring.look_list import LOOKS_FILE, append_entry, chained, entry_digest, recorded_looks


def _written(folder: Path, count: int) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for number in range(count):
        entries.append(chained({"number": number}, entry_digest(entries[-1]) if entries else ""))
        append_entry(folder, entries[-1])
    return entries


def test_entries_come_back_in_order_and_a_repeated_one_is_written_once(tmp_path: Path) -> None:
    assert list(recorded_looks(tmp_path)) == []
    entries = _written(tmp_path, 3)
    append_entry(tmp_path, entries[-1])
    assert list(recorded_looks(tmp_path)) == entries


def test_a_part_of_a_line_is_what_a_power_failure_left(tmp_path: Path) -> None:
    entries = _written(tmp_path, 2)
    path = tmp_path / LOOKS_FILE
    path.write_bytes(path.read_bytes()[:-7])
    append_entry(tmp_path, entries[-1])
    assert list(recorded_looks(tmp_path)) == entries


@pytest.mark.parametrize("place", [0, 1])
def test_a_line_that_was_changed_or_removed_is_noticed(tmp_path: Path, place: int) -> None:
    _written(tmp_path, 3)
    path = tmp_path / LOOKS_FILE
    lines = path.read_text().splitlines()
    changed = [*lines[:place], lines[place].replace(f'"number":{place}', '"number":7'), *lines[place + 1 :]]
    for kept in (changed, lines[:place] + lines[place + 1 :]):
        path.write_text("\n".join(kept) + "\n")
        with pytest.raises(WorkspaceError, match="does not follow the line before it"):
            list(recorded_looks(tmp_path))
    assert json.loads(lines[0])["previous"] == ""
