from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.files import remove_temporary, replacing, replacing_folder, write_whole


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    place = tmp_path / "new" / "record.json"
    write_whole(place, "old")
    write_whole(place, "größer", mode=0o600, durable=True)
    assert place.read_text("utf-8") == "größer"
    assert place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in place.parent.iterdir()] == ["record.json"]


def _fail() -> None:
    raise KeyError("half")


def _half_a_file(place: Path) -> None:
    with replacing(place) as temporary:
        temporary.write_text("half")
        _fail()


def _half_a_folder(place: Path) -> None:
    with replacing_folder(place) as folder:
        (folder / "half.txt").write_text("half")
        _fail()


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "record.json"
    write_whole(place, b"old")
    with pytest.raises(KeyError, match="half"):
        _half_a_file(place)
    assert place.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_missing_folder_is_made_or_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "moved" / "record", "x", make_folder=False)
    assert list(tmp_path.iterdir()) == []
    write_whole(tmp_path / "new" / "record", "x")
    write_whole(tmp_path / "new" / "record", "y", make_folder=False)
    assert (tmp_path / "new" / "record").read_text() == "y"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "evidence"
    for text in ("first", "second"):
        with replacing_folder(place) as folder:
            (folder / f"{text}.txt").write_text(text)
    with pytest.raises(KeyError, match="half"):
        _half_a_folder(place)
    assert [path.name for path in place.iterdir()] == ["second.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / ".dataset.json.0123456789ab.tmp"
    for path in (left, tmp_path / ".keep.tmp", tmp_path / "dataset.json", tmp_path / "a.0123456789ab.tmp"):
        path.touch()
    assert remove_temporary(tmp_path) == [left]
    assert len(list(tmp_path.iterdir())) == 3
