"""The notebook of the first adapter: it runs from a folder and a table, with the library alone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.support.own_recordings import write_recordings

NOTEBOOK = ROOT / "docs" / "tutorial" / "first-adapter.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    """The cells of code; reading notebooks takes a library whose import costs a second."""
    import nbformat

    return [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]


def _printed(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")


@pytest.mark.integration
def test_it_runs_and_ends_with_a_recognised_recording(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    count = write_recordings(tmp_path, request, takes=2)
    book = nbformat.read(NOTEBOOK, 4)
    settings = next(cell for cell in book.cells if "EPOCHS = " in cell.source)
    settings.source = re.sub(r"EPOCHS = \d+", "EPOCHS = 2", settings.source)
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "\n".join(_printed(cell) for cell in book.cells if cell.cell_type == "code")
    assert f"{count} clips" in said
    assert re.search(r"^epoch  2 .*$", said, re.M)
    assert said.count("  best") == 1
    rate, low, high = map(float, re.search(r"WER ([\d.]+)% \(95 % .*: ([\d.]+)% to ([\d.]+)%\)", said).groups())
    assert low <= rate <= high
    assert re.search(r"said '.+', recognised: '", said)
    bundle = tmp_path / "adapter-1"
    assert {file.name for file in bundle.iterdir()} >= {"adapter_model.safetensors", "README.md", "manifest.json"}


def test_it_needs_the_library_only(cells: list[Any]) -> None:
    tree = ast.parse("\n".join(cell.source for cell in cells))
    named = {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert named - {*sys.stdlib_module_names} == {"elp_core"}


def test_it_is_committed_with_the_outputs_of_one_run_and_no_path_of_a_machine(cells: list[Any]) -> None:
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    # a cell is read at a glance
    assert max(cell.source.count("\n") + 1 for cell in cells) <= 16
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 30_000
    assert not re.search(r"/(home|root|tmp|work|Users|usr)/|Traceback|site-packages", text)
    assert re.search(r"WER [\d.]+% \(95 % interval over clips", _printed(cells[-3]))
