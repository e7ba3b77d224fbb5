from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run

Ask = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ELP_KEYS", str(tmp_path / "keys"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "keys"


@pytest.fixture
def ask(folder: Path, capfd: pytest.CaptureFixture[str]) -> Ask:
    """What a verb of `elp keys` prints as JSON; it must end well."""

    def call(*words: str) -> Any:
        assert run(["keys", *words]) == 0
        return json.loads(capfd.readouterr().out)

    return call


def test_a_key_is_made_listed_replaced_and_ended(ask: Ask, folder: Path) -> None:
    made = ask("new", "--role", "lineage", "--role", "verdict", "--json")
    assert [(key["name"], key["roles"], key["signs_here"]) for key in made] == [
        ("lineage-verdict", ["lineage", "verdict"], True)
    ]
    old, new = ask("rotate", "--json")
    assert [(key["state"], key["signs_here"]) for key in (old, new)] == [("retired", False), ("active", True)]
    assert [key["state"] for key in ask("revoke", new["keyid"][:10], "--json")] == ["revoked"]
    assert [key["state"] for key in ask("list", "--json")] == ["retired", "revoked"]
    assert list((folder / "private").iterdir()) == []


def test_another_machine_is_trusted_from_a_file(
    ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask("new", "--role", "verdict", "--name", "gate-2", "--json")
    (tmp_path / "export.json").write_text(json.dumps(ask("export", "gate-2")))
    assert "private" not in (tmp_path / "export.json").read_text().lower()
    monkeypatch.setenv("ELP_KEYS", str(tmp_path / "server"))
    assert [key["name"] for key in ask("add", "export.json", "--json")] == ["gate-2"]
    assert ask("add", "export.json", "--json") == []


def test_a_role_that_nobody_signs_for_is_told(ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    ask("new", "--role", "verdict", "--json")
    assert run(["keys", "retire", "verdict"]) == 0
    assert "no active key for the role verdict is left; make one: elp keys new --role verdict" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["list"], 1, "make keys with: elp keys new"),
        (["new"], 2, "--role"),
        (["new", "--role", "admin"], 2, "'admin' is not one of"),
        (["retire", "nobody"], 2, "no key in"),
        (["add", "missing.json"], 2, "does not exist"),
        (["add", "bad.json"], 1, "bad.json is no JSON"),
    ],
)
def test_what_cannot_be_done_is_told(
    folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    Path("bad.json").write_text("{")
    assert run(["keys", *words]) == code
    assert sentence in capfd.readouterr().err


def test_outside_a_workspace_the_folder_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ELP_KEYS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(["keys", "list"]) == 1
    assert "elp init DIR" in capfd.readouterr().err
