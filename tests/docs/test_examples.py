"""What the documentation shows is accepted as it stands there; `test_walk.py` runs the rest in a whole workspace."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from elp_core.task_specs import _SPECS
from tests.docs.pages import Fence, fences

NEEDS_A_WORKSPACE = {"versions.md", "gate.md", "registry.md"}
COMMANDS = [(f.name, line) for f in fences("sh") for line in f.commands if line.startswith("elp ")]


@pytest.mark.parametrize(
    "block", [f for f in fences("python") if f.page not in NEEDS_A_WORKSPACE], ids=lambda f: f.name
)
@pytest.mark.usefixtures("_own_tasks")
def test_python_runs(block: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for other in fences("python"):
        if other.page == block.page and other.file:
            (tmp_path / other.file).write_text(other.text, encoding="utf-8")
    if block.file:
        importlib.import_module(block.file.removesuffix(".py"))
    else:
        exec(compile(block.text, block.name, "exec"), {"__name__": "documentation"})


@pytest.fixture
def _own_tasks() -> Iterator[None]:
    """Tasks and modules that a page adds are gone after it."""
    kinds, modules = dict(_SPECS), set(sys.modules)
    yield
    _SPECS.clear()
    _SPECS.update(kinds)
    for fence in fences("python"):
        name = fence.file.removesuffix(".py")
        if name in sys.modules.keys() - modules:
            del sys.modules[name]


@pytest.mark.parametrize("block", fences("yaml"), ids=lambda f: f.name)
def test_settings_are_accepted(block: Fence) -> None:
    from pipelines.local.settings import read_settings

    read_settings(block.text)


@pytest.mark.parametrize(("where", "line"), COMMANDS, ids=[f"{w}: {line}" for w, line in COMMANDS])
def test_the_command_line_knows_the_command(
    where: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.cli.main import cli
    from pipelines.local.box_home import BoxSettings, write_box

    # one level down: pages name files next to the workspace as ../NAME
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    (workspace / "elp.yaml").touch()
    words = shlex.split(line.split("&&")[0])[1:]
    for word in words:
        if ("." in word and "/" in word) or word.endswith((".wav", ".requests")):
            path = workspace / word.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    if "--box" in words:
        write_box(workspace / words[words.index("--box") + 1].lstrip("/"), BoxSettings("plant-a"))
    command: click.Command = cli
    context = cli.make_context("elp", [word.lstrip("/") for word in words])
    while isinstance(command, click.Group):
        words = [*context._protected_args, *context.args]
        if command.invoke_without_command and not words:
            break
        name, found, rest = command.resolve_command(context, words)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
