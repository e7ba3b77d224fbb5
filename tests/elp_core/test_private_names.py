from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import elp_core
from elp_core.private_names import CHECKED

PACKAGE = Path(elp_core.__file__).parent


@pytest.mark.parametrize("package", CHECKED)
def test_the_private_names_were_checked_with_the_installed_release(package: str) -> None:
    release = version(package).partition("+")[0]
    assert release in CHECKED[package], (
        f"{package} {release} has not been checked: run tests/elp_core with it, then add it to CHECKED in "
        "elp_core/private_names.py"
    )


def test_private_names_of_other_packages_are_in_one_file() -> None:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        # a private name that the package itself defines belongs to it
        own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_self(node.value)}
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and not _is_self(node.value)}
        private = {name for name in names - own if name.startswith("_") and not name.startswith("__")}
        if private:
            found[str(path.relative_to(PACKAGE))] = private
    assert found == {
        "private_names.py": {
            "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_modules", "_version", "_reset_state",
            "_scaled_dot_product_flash_attention_for_cpu",
        }
    }  # fmt: skip


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}
