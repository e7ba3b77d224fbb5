"""What the documentation shows is accepted as it stands there; `test_walk.py` runs the rest in a whole workspace."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from tests.docs.pages import Fence, fences

NEEDS_A_WORKSPACE = {"data.md", "gate.md", "registry.md"}
COMMANDS = [(f.name, line) for f in fences("sh") for line in f.commands if line.startswith("elp ")]


@pytest.mark.parametrize(
    "block", [f for f in fences("python") if f.page not in NEEDS_A_WORKSPACE], ids=lambda f: f.name
)
def test_python_runs(block: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, block.name, "exec"), {"__name__": "documentation"})


@pytest.mark.parametrize("block", fences("yaml"), ids=lambda f: f.name)
def test_settings_are_accepted(block: Fence) -> None:
    from pipelines.settings import read_settings

    read_settings(block.text)


@pytest.mark.parametrize(("where", "line"), COMMANDS, ids=[f"{w}: {line}" for w, line in COMMANDS])
def test_the_command_line_knows_the_command(
    where: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.cli.main import cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / "elp.yaml").touch()
    words = shlex.split(line.split("&&")[0])[1:]
    for word in words:
        if ("." in word and "/" in word) or word.endswith(".wav"):
            path = tmp_path / word.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    command: click.Command = cli
    context = cli.make_context("elp", [word.lstrip("/") for word in words])
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
