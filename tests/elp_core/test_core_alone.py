"""`elp_core` works where only its own dependencies are installed."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "support" / "core_alone.py"
FOREIGN = {"mlflow", "prefect", "dvc", "great_expectations", "pandas", "sklearn", "matplotlib", "pipelines"}


def core_distributions() -> set[str]:
    """What `pip install .` brings: the dependencies in pyproject.toml and theirs, no extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: set[str] = set()
    waiting = [Requirement(line) for line in project["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            found.add(name)
            waiting += [Requirement(line) for line in _requires(name)]
    return found


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # of another platform or build, such as the CUDA libraries of torch
        return []


def foreign_modules() -> list[str]:
    """Top-level modules that no distribution of the core brings; `pipelines` among them."""
    core = core_distributions()
    homes = metadata.packages_distributions()
    brought = {module for module, names in homes.items() if core & {canonicalize_name(name) for name in names}}
    ours = {module for module, names in homes.items() if "elp-foundry" in names}
    return sorted((homes.keys() - brought - ours) | {"pipelines"})


def _run(python: str, folder: Path, *hidden: str, path: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [python, "-P", str(PROGRAM), str(folder), *hidden]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)


def test_an_adapter_is_trained_and_used_without_any_package_of_operations(tmp_path: Path) -> None:
    hidden = foreign_modules()
    assert set(hidden) >= FOREIGN & {"pipelines", *metadata.packages_distributions()}
    done = _run(sys.executable, tmp_path, *hidden, path=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("steps ")


def test_hidden_modules_are_really_absent(tmp_path: Path) -> None:
    done = _run(sys.executable, tmp_path, "safetensors", path=str(ROOT))
    assert done.returncode != 0
    assert "No module named 'safetensors'" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_fresh_install_of_the_core_trains_an_adapter(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("elp_core", "pipelines"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(source)]
    subprocess.run(install, check=True, timeout=1500)
    assert subprocess.run([python, "-c", "import mlflow.version"], capture_output=True).returncode != 0
    done = _run(python, tmp_path, path="")
    assert done.returncode == 0, done.stderr
