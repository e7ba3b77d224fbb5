from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pipelines.server
from pipelines.server.mlflow_private import CHECKED

SERVER = Path(pipelines.server.__file__).parent
OVERRIDDEN = {
    "stores/artifact_store.py": {
        "_create_staging_artifact", "_publish_staged_artifact", "_get_destination_artifact_path",
        "_get_s3_client", "_iterate_s3_paginated_results", "_bucket_owner_params",
    },
    "stores/tracking_store.py": {"_hard_delete_experiment"},
}  # fmt: skip


def test_the_private_names_were_checked_with_the_installed_release() -> None:
    release = version("mlflow")
    assert release in CHECKED, (
        f"mlflow {release} has not been checked: run tests/pipelines/server and tests/attacks with it, then add it to "
        "CHECKED in pipelines/server/mlflow_private.py"
    )


def test_private_names_of_mlflow_are_in_one_file() -> None:
    found = {}
    for path in SERVER.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_stored(node)}
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported = {alias.name for node in imports for alias in node.names if "mlflow" in str(node.module)}
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        variables = {text for text in texts if isinstance(text, str) and text.startswith("_MLFLOW_")}
        private = {name for name in (names - own) | imported | variables if _is_private(name)}
        # a method that overrides one of MLflow's calls it with `super()`
        private |= own & OVERRIDDEN.get(path.relative_to(SERVER).as_posix(), set())
        if private:
            found[path.relative_to(SERVER).as_posix()] = private
    found.pop("mlflow_private.py")
    assert found == OVERRIDDEN


def _is_stored(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


def _is_private(name: str) -> bool:
    # `_asdict` and `_replace` are the public names of named tuples
    return name.startswith("_") and not name.startswith("__") and name not in {"_asdict", "_replace", "_mapping"}
