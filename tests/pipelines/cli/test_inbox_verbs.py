"""`elp inbox list | retry` on a workspace with an inbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.errors import IntakeError
from tests.support.inboxes import Intake, bare_workspace, drop


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "elp.yaml").write_text("inbox: {stable: 0}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_states_are_listed_and_a_refused_one_is_tried_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inbox", "list"]) == 0
    assert capsys.readouterr().out == "nothing is in the inboxes\n"
    folder = root / "inbox/plant-a/asr"
    drop(folder, "monday", {"a.wav": b"1"})
    drop(folder, "sunday", {"a.wav": b"0"})
    Intake(refuse={"monday": IntakeError("no audio", ["line 1", "line 2"])}).run(bare_workspace(root, stable=0.0))
    drop(folder, "tuesday", {"a.wav": b"2"})
    drop(folder, "wednesday", {"a.wav.part": b"2"})
    assert run(["inbox", "list", "plant-a/asr", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "monday": "refused",
        "sunday": "taken",
        "tuesday": "waiting",
        "wednesday": "incomplete",
    }
    assert "line 2" in rows["monday"]["detail"]
    assert rows["sunday"]["detail"] == "data/plant-a/asr/v1"
    assert run(["inbox", "retry", "plant-a/asr", "friday"]) == 1
    assert "friday was not refused in the inbox of plant-a/asr; refused: monday" in capsys.readouterr().err
    assert run(["inbox", "retry", "plant-a/asr"]) == 0
    assert "tries again: monday" in capsys.readouterr().out
    assert run(["inbox", "list"]) == 0
    assert "refused" not in capsys.readouterr().out


def test_two_slots_with_one_inbox_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "elp.yaml").write_text("slots: {plant-a/asr: {inbox: /mnt/x}, plant-b/asr: {inbox: /mnt/x/}}\n")
    assert run(["inbox", "list"]) == 2
    assert "slots.plant-b/asr.inbox is '/mnt/x/', which is the inbox of plant-a/asr, too" in capsys.readouterr().err
