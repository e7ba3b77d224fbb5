from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import Head
from pipelines.registry.ledger.ledger_checkpoint import checkpoint_file, read_ledger_checkpoint, write_ledger_checkpoint


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_ledger_checkpoint(tmp_path / "head.json") is None
    write_ledger_checkpoint(tmp_path / "new" / "head.json", Head(3, "a" * 64))
    assert read_ledger_checkpoint(tmp_path / "new" / "head.json") == Head(3, "a" * 64)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["head.json", "head.json.lock"]
    write_ledger_checkpoint(tmp_path / "new" / "head.json", Head(3, "b" * 64))
    assert read_ledger_checkpoint(tmp_path / "new" / "head.json") == Head(3, "a" * 64), "the same number is no progress"


def test_a_checkpoint_never_moves_back(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(write_ledger_checkpoint, [(path, Head(n, f"{n:064d}")) for n in (5, 9, 2, 30, 7, 30, 1)])
    assert read_ledger_checkpoint(path) == Head(30, f"{30:064d}")


@pytest.mark.parametrize("there", [None, "f" * 64])
def test_a_checkpoint_does_not_follow_a_ledger_that_was_cut_and_continued(tmp_path: Path, there: str | None) -> None:
    path = tmp_path / "head.json"
    write_ledger_checkpoint(path, Head(5, "a" * 64), lambda seq: None)
    write_ledger_checkpoint(path, Head(6, "b" * 64), {5: "a" * 64}.get)
    with pytest.raises(AttestationError, match=r"does not have entry 6 .*elp audit --verify"):
        write_ledger_checkpoint(path, Head(9, "c" * 64), lambda seq: there)
    assert read_ledger_checkpoint(path) == Head(6, "b" * 64)


@pytest.mark.parametrize("text", ["", "[]", '{"seq":1}', '{"seq":"1","hash":""}', '{"seq":true,"hash":""}'])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "head.json").write_text(text)
    with pytest.raises(
        AttestationError, match=r"head\.json (is no JSON|holds a list, expected an object|is not a checkpoint)"
    ):
        read_ledger_checkpoint(tmp_path / "head.json")


def test_the_environment_names_the_file_or_it_is_the_workspaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ELP_LEDGER_HEAD", "ELP_LEDGER_CHECKPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert checkpoint_file(tmp_path) == tmp_path / "ledger-head.json"
    monkeypatch.setenv("ELP_LEDGER_HEAD", "/elsewhere/old.json")
    assert checkpoint_file(tmp_path) == Path("/elsewhere/old.json"), "release 0.1.0 had this variable"
    monkeypatch.setenv("ELP_LEDGER_CHECKPOINT", "/elsewhere/head.json")
    assert checkpoint_file(tmp_path) == Path("/elsewhere/head.json")
