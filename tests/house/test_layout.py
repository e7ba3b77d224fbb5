"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("elp_core", "pipelines")


def _sources() -> list[Path]:
    return [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a Git checkout")
    return [ROOT / line for line in listed.stdout.split("\0")[:-1] if (ROOT / line).is_file()]


def test_the_folder_mlflow_holds_nothing_importable() -> None:
    # a module there would shadow the real package for everything started in the root
    assert not list((ROOT / "mlflow").rglob("*.py"))


def test_files_and_functions_are_short() -> None:
    long = []
    for path in _sources():
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        if text.count("\n") > 300:
            long.append(f"{name}: {text.count(chr(10))} lines, at most 300; split it by noun")
        functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        long += [f"{name}: {n.name} is too long" for n in functions if (n.end_lineno or 0) - n.lineno > 70]
    assert long == []


def test_no_file_is_too_large_for_the_repository() -> None:
    assert not [str(p) for p in _tracked() if p.stat().st_size > 15_000_000]


def test_no_registry_host_is_named() -> None:
    host = re.compile(r"(pypi\.org|pythonhosted\.org|deb\.debian\.org|registry\.npmjs)")
    text_files = [
        p
        for p in _tracked()
        if p.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ""} and p != Path(__file__)
    ]
    assert not [str(p) for p in text_files if host.search(p.read_text(encoding="utf-8", errors="ignore"))]


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = "import sys, elp_core, pipelines.cli.main; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert not loaded & {"torch", "transformers", "mlflow", "prefect", "great_expectations", "dvc", "pandas"}


def test_no_file_names_the_host_of_a_package_registry() -> None:
    # written in parts, so that this file does not name one
    hosts = [f"{name}.org" for name in ("pypi", "pythonhosted", "download.pytorch", "registry.npmjs")]
    named = []
    for path in _tracked():
        content = path.read_bytes()
        named += [f"{path.relative_to(ROOT)}: {host}" for host in hosts if host.encode() in content]
    assert named == []


def test_one_module_makes_clients_of_s3_and_names_the_keys_of_the_artifacts() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in _sources()}
    makers = [name for name, text in texts.items() if "boto3.session" in text or '"boto3"' in text]
    assert makers == ["pipelines/s3_client.py"]
    assert [name for name, text in texts.items() if '"ELP_ARTIFACTS_' in text] == makers
