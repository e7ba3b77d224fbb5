"""Package docstrings are maps: every module is on the map of its package, and their examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent for name in ("elp_core", "pipelines") for path in (ROOT / name).rglob("__init__.py"))
NOT_MAPS = {"pipelines/datasets/importers", "pipelines/demo", "pipelines/registry/pyfunc", "pipelines/serving"}
"""Packages of a few files whose names say it all."""


def test_every_module_is_on_the_map_of_its_package() -> None:
    missing = []
    for package in PACKAGES:
        name = package.relative_to(ROOT).as_posix()
        if not name.startswith("pipelines/") or name in NOT_MAPS:
            continue
        text = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
        named = re.findall(r"`([a-z_*]+)`", text)
        modules = [path.stem for path in package.glob("*.py") if path.stem != "__init__"]
        missing += [f"{name}: {m}" for m in modules if m not in named and not _matches(m, named)]
    assert missing == []


def _matches(module: str, named: list[str]) -> bool:
    return any("*" in pattern and re.fullmatch(pattern.replace("*", ".*"), module) for pattern in named)


def test_the_examples_of_the_maps_run() -> None:
    results = [
        doctest.testmod(importlib.import_module(".".join(package.relative_to(ROOT).parts))) for package in PACKAGES
    ]
    assert sum(result.attempted for result in results) >= 5
    assert sum(result.failed for result in results) == 0
