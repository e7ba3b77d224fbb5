"""Every write that outlives its process stands between two fail points, or is named here with the reason."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

WRITES = {
    "replace", "rename", "link", "symlink", "symlink_to", "write_text", "write_bytes", "write_table",
    "set_tag", "log_batch", "log_inputs", "log_outputs", "log_artifact", "log_artifacts", "log_model_artifacts",
    "create_run", "update_run", "set_terminated", "create_experiment", "create_logged_model", "finalize_logged_model",
    "create_registered_model", "create_model_version", "delete_model_version", "set_registered_model_alias",
    "_publish_staged_artifact",
}  # fmt: skip
"""Methods and functions that write. `replace` counts with one argument or of `os`: text has two."""
GIT_WRITES = {"add", "commit", "tag", "push", "update-ref", "merge", "rebase"}
WHOLE = {"replacing", "replacing_folder", "write_whole"}
"""They have their fail points inside; what is written below their block is temporary."""
TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile"}

ALLOWED = {
    "elp_core/data/corpus.py": "a table in memory, written with write_whole",
    "elp_core/bundle/write.py": "files of the scratch folder, before the rename that counts",
    "pipelines/datasets/quarantine.py": "a table in memory, written with write_whole",
    "pipelines/datasets/audio_reader.py": "a spool of one intake, removed with its staging folder",
    "pipelines/datasets/dvc.py": "a copy for the audit in a temporary folder",
    "pipelines/training/curves.py": "a picture of the report: written again by a repeated training",
    "pipelines/comparison/trial_runner.py": "the input of one trial and its log, written again by each run",
    "pipelines/cli/audit_verbs.py": "a file that a person asked for",
    "pipelines/demo/job.py": "the demo's workspace, made again by elp demo",
    "pipelines/local/dvc_repository.py": "elp init, before its first commit; run again it writes the same",
    "pipelines/server/stores/registry_store.py": "a database transaction of MLflow; locked_store has the points",
    "pipelines/server/stores/tracking_store.py": "a database transaction of MLflow of its own",
    "pipelines/inbox/bucket_client.py": "a copy of a delivery, in the staging folder of one intake",
    "pipelines/server/stores/artifact_store.py": "MLflow's own upload below; each file passes _publish_staged_artifact",
}


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _writes(call: ast.Call) -> bool:
    name = _name(call)
    if name == "replace":
        of = call.func.value if isinstance(call.func, ast.Attribute) else None
        from_os = isinstance(of, ast.Name) and of.id == "os"
        return from_os or (of is not None and len(call.args) == 1 and not call.keywords)
    if name == "git" and len(call.args) > 1:
        words = {word.value for word in call.args[1:3] if isinstance(word, ast.Constant)}
        return bool(words & GIT_WRITES)
    if name in ("post", "put", "delete", "patch", "request") and isinstance(call.func, ast.Attribute):
        of = call.func.value
        return isinstance(of, ast.Name) and of.id == "requests"
    if name == "open":
        modes = [
            word.value for word in (*call.args, *(k.value for k in call.keywords)) if isinstance(word, ast.Constant)
        ]
        return any(isinstance(mode, str) and mode in {"w", "wb", "xb", "x", "w+b"} for mode in modes)
    return name in WRITES


def _guarded(with_: ast.With | ast.AsyncWith) -> bool:
    calls = [item.context_expr for item in with_.items]
    names = {_name(call) for call in calls if isinstance(call, ast.Call)}
    named = {expression.id for expression in calls if isinstance(expression, ast.Name)}
    # `write` is the durable_write of send_request, unless it only reads
    return bool(names & ({"durable_write"} | WHOLE | TEMPORARY)) or "write" in named


def _unguarded(node: ast.AST, inside: bool = False) -> list[int]:
    found = []
    if isinstance(node, ast.Call) and _writes(node) and not inside:
        found.append(node.lineno)
    for child in ast.iter_child_nodes(node):
        within = inside or (isinstance(node, ast.With | ast.AsyncWith) and _guarded(node) and child in node.body)
        found += _unguarded(child, within)
    return found


def _files() -> list[Path]:
    return sorted(path for package in ("elp_core", "pipelines") for path in (ROOT / package).rglob("*.py"))


def test_every_durable_write_has_its_fail_points() -> None:
    found = {}
    for path in _files():
        name = path.relative_to(ROOT).as_posix()
        if name not in ALLOWED and (lines := _unguarded(ast.parse(path.read_text("utf-8")))):
            found[name] = lines
    assert found == {}, "enclose each write in elp_core.fail_points.durable_write, or write with elp_core.files"


def test_no_exception_is_out_of_date() -> None:
    stale = [
        name
        for name in ALLOWED
        if not (ROOT / name).is_file() or not _unguarded(ast.parse((ROOT / name).read_text("utf-8")))
    ]
    assert stale == []


def test_the_scan_finds_what_it_looks_for() -> None:
    assert _unguarded(ast.parse("os.replace(a, b)\na.replace('x', 'y')\npath.write_text(t)")) == [1, 3]
    assert _unguarded(ast.parse("with durable_write('x'):\n    os.replace(a, b)")) == []
    assert _unguarded(ast.parse("git(folder, 'push', 'origin')\ngit(folder, 'log')\nopen(p, 'wb')\nopen(p, 'rb')")) == [
        1,
        3,
    ]
