from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.languages import language
from pipelines.errors import UsageError
from pipelines.serving.hotwords import read_hotwords, written_as_transcripts


def test_a_file_has_one_hotword_a_line(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes("﻿# people\r\nAnna Kowalski\r\n\r\n  Schäfer \r\nanna kowalski\r\n".encode())
    found = read_hotwords(path)
    assert found == ("Anna Kowalski", "Schäfer", "anna kowalski")
    assert written_as_transcripts(found, language("en").normalise) == ("anna kowalski", "schäfer")


def test_what_is_no_list_of_hotwords_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    for content, said in (
        (b"# nothing\n\n", "has no hotword"),
        ("müller".encode("latin-1"), "are not UTF-8 text"),
        ("name".encode("utf-16"), "are not UTF-8 text"),
        (b"x\n" * 2**20, "over 1 MiB"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=said):
            read_hotwords(path)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_hotwords(tmp_path / "nowhere.txt")
    with pytest.raises(UsageError, match=r"the hotword '\.\.\.' has no letter"):
        written_as_transcripts(("...",), language("en").normalise)
