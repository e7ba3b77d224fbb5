"""The wheel and the source archive of `make dist`: complete, and the command works from them without the checkout."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support.shell import shell

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROGRAM = """
import importlib.metadata, importlib.resources, pipelines.cli.main, elp_core, sys
from elp_core.backbones import Backbone
static = importlib.resources.files("pipelines.server.pages") / "static"
assert {"console.js", "console.css"} <= {file.name for file in static.iterdir()}
Backbone.from_pretrained("elp:tiny")
print(importlib.metadata.version("elp-foundry"), elp_core.__file__, pipelines.cli.main.__file__, sep="\\n")
"""


def _copy_of_the_tree(folder: Path) -> list[str]:
    """Copy what Git would commit, so that a build leaves nothing in the checkout; return the files' names."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return names


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder that `make dist` fills, built by its command, and the names of the committed files."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a Git checkout: what belongs to the project is unknown")
    tree = tmp_path_factory.mktemp("tree")
    names = _copy_of_the_tree(tree)
    command = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "-m build" in line)
    done = shell(command.strip().lstrip("@").replace("$(VENV)/bin/python", shlex.quote(sys.executable)), tree)
    assert done.returncode == 0
    # as the next line of `make dist` does
    (tree / "dist" / "constraints.txt").write_bytes((ROOT / "constraints.txt").read_bytes())
    return tree / "dist", names


def test_the_wheel_has_every_file_of_the_packages(built: tuple[Path, list[str]]) -> None:
    folder, names = built
    (wheel,) = folder.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == {name for name in names if name.startswith(("elp_core/", "pipelines/"))}


def test_the_source_archive_makes_the_wheel_and_has_the_pins(built: tuple[Path, list[str]]) -> None:
    (archive,) = built[0].glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    assert {"constraints.txt", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"} <= inside


def test_the_wheel_works_in_a_new_environment_without_the_checkout(
    built: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pip would take a checkout on this path for an installation
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (wheel,) = built[0].glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    # what is imported below is compiled then: pip would compile all modules
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", "--no-compile", wheel], check=True)
    # the third parties come from this environment; its editable install of the project is not followed from there
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "third-parties.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    done = subprocess.run([python, "-I", "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version, *files = done.stdout.split("\n")[:3]
    assert version == PROJECT["version"]
    assert all(Path(file).is_relative_to(venv) for file in files)
    assert shell(f"{shlex.quote(str(venv))}/bin/elp init workspace", tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_pip_installs_the_wheel_with_its_pins_as_the_image_does(built: tuple[Path, list[str]], tmp_path: Path) -> None:
    (wheel,) = built[0].glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    bin_folder = shlex.quote(f"{venv}/bin")
    (command,) = re.findall(r"^RUN (pip install .*)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    install = command.replace("pip ", f"{bin_folder}/python -m pip --quiet ", 1).replace("/dist", str(wheel.parent))
    (extras,) = re.findall(r'^ARG EXTRAS="(.+)"$', (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    done = shell(f"EXTRAS={extras}; {install}", tmp_path, timeout=1500)
    assert done.returncode == 0, done.stderr
    started = shell(f"{bin_folder}/elp init workspace && cd workspace && {bin_folder}/elp doctor", tmp_path)
    assert re.search(r"^ok +packages", started.stdout, re.M)
    assert re.search(r"^ok +backbone", started.stdout, re.M)


def test_the_version_follows_the_changelog() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    version = PROJECT["version"]
    if headings[0] == "Unreleased":
        # what is not released has a number of its own, or its adapters would look as if a release had trained them
        assert version.endswith(".dev0")
        assert Version(version) > Version(headings[1])
    else:
        assert version == headings[0]


def test_what_is_installed_is_what_the_project_file_names() -> None:
    installed = importlib.metadata.version("elp-foundry")
    assert installed == PROJECT["version"], "run: make setup"
