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
    "_publish_staged_artifact", "delete_artifacts",
}  # fmt: skip
"""Methods and functions that write. `replace` counts with one argument or of `os`: text has two."""
REMOTE_WRITES = {"move", "remove", "rm", "put_file"}
"""Methods that write if they are those of the file system of a DVC remote."""
GIT_WRITES = {"add", "commit", "tag", "push", "update-ref", "merge", "rebase"}
WHOLE = {"replacing", "replacing_folder", "write_whole"}
"""They have their fail points inside; what is written below their block is temporary."""
TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile"}

ALLOWED = {
    "elp_core/data/corpus.py write_shard": "a table in memory, written with write_whole",
    "elp_core/bundle/write.py write_bundle": "files of the scratch folder, before the rename that counts",
    "pipelines/datasets/quarantine.py": "a table in memory, written with write_whole",
    "pipelines/datasets/audio_reader.py read": "a spool of one intake, removed with its staging folder",
    "pipelines/datasets/dvc.py copy": "a copy for the audit in a temporary folder",
    "pipelines/training/curves.py draw_curves": "a picture of the report: written again by a repeated training",
    "pipelines/comparison/trial_runner.py": "the input of one trial and its log, written again by each run",
    "pipelines/cli/audit_verbs.py": "a file that a person asked for",
    "pipelines/demo/job.py": "the demo's workspace, made again by elp demo",
    "pipelines/local/dvc_repository.py": "elp init, before its first commit; run again it writes the same",
    "pipelines/datasets/remote_finding.py _over_ssh": "the doctor's own file, removed when its check ends",
    "pipelines/local/store_checks.py check_folder": "the doctor's own file, removed when its check ends",
    "pipelines/local/accounts.py _write_once": "the temporary file, before the link that counts",
    "pipelines/inbox/folder_inbox.py _move_without_replacing": "enclosed by its caller",
    "pipelines/inbox/bucket_client.py": "a copy of a delivery, in the staging folder of one intake",
    "pipelines/local/run_workspace.py _clone": "moves a damaged clone aside, inside the scratch folder",
    "pipelines/distribution/fetched_bundle.py _link": "a file of the scratch folder, before the rename that counts",
    "pipelines/local/chunk_processes.py": "the log of a process, in a temporary folder; a queue in memory",
    "pipelines/training/ranks.py _started": "the log of a process, in a temporary folder",
    "pipelines/server/removal/adapter_trash.py _trash": "a database transaction; locked_store has the points",
    "pipelines/server/stores/registry_store.py": "a database transaction of MLflow; locked_store has the points",
    "pipelines/server/stores/tracking_store.py": "a database transaction of MLflow of its own",
    "pipelines/server/stores/artifact_store.py": "MLflow's own upload below; each file passes _publish_staged_artifact",
}
"""Path, or path and function -> why it needs none."""


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _writes(call: ast.Call) -> bool:
    name = _name(call)
    if name == "replace":
        of = call.func.value if isinstance(call.func, ast.Attribute) else None
        from_os = isinstance(of, ast.Name) and of.id == "os"
        return from_os or (of is not None and len(call.args) == 1 and not call.keywords)
    if name in REMOTE_WRITES and isinstance(call.func, ast.Attribute):
        of = call.func.value
        return getattr(of, "id", getattr(of, "attr", "")) == "fs"
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


def _unguarded(node: ast.AST, inside: bool = False, of: str = "") -> list[tuple[str, int]]:
    """Return the function and the line of each write that no fail points enclose."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        of = node.name
    found = []
    if isinstance(node, ast.Call) and _writes(node) and not inside:
        found.append((of, node.lineno))
    for child in ast.iter_child_nodes(node):
        within = inside or (isinstance(node, ast.With | ast.AsyncWith) and _guarded(node) and child in node.body)
        found += _unguarded(child, within, of)
    return found


def _lines(text: str) -> list[int]:
    return [line for _, line in _unguarded(ast.parse(text))]


def _found() -> list[tuple[str, str, int]]:
    every = sorted(path for package in ("elp_core", "pipelines") for path in (ROOT / package).rglob("*.py"))
    return [
        (path.relative_to(ROOT).as_posix(), of, line)
        for path in every
        for of, line in _unguarded(ast.parse(path.read_text("utf-8")))
    ]


def test_every_durable_write_has_its_fail_points() -> None:
    found = [f"{path}:{line} {of}" for path, of, line in _found() if not {path, f"{path} {of}"} & set(ALLOWED)]
    assert found == [], "enclose each write in elp_core.fail_points.durable_write, or write with elp_core.files"


def test_no_exception_is_out_of_date() -> None:
    used = {name for path, of, _ in _found() for name in (path, f"{path} {of}")}
    assert [name for name in ALLOWED if name not in used] == []


def test_the_scan_finds_what_it_looks_for() -> None:
    assert _lines("os.replace(a, b)\na.replace('x', 'y')\npath.write_text(t)") == [1, 3]
    assert _lines("with durable_write('x'):\n    os.replace(a, b)") == []
    assert _lines("fs.move(a, b)\nstored.remote.fs.remove(a)\nnames.remove(a)\nfs.open(a)") == [1, 2]
    assert _lines("git(folder, 'push', 'origin')\ngit(folder, 'log')\nopen(p, 'wb')\nopen(p, 'rb')") == [1, 3]
