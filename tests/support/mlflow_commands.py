"""Programs that use MLflow's own code on a server's database, as a person with the machine does, past the guard."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.forked_server import fork_context

COMMAND_LINE = "import sys; from mlflow.cli import cli; cli(sys.argv[1:], prog_name='mlflow')"
"""The program `mlflow`."""


def run_program(source: str, *words: str, environment: Mapping[str, str], output: Path) -> tuple[int, str]:
    """Run Python `source` with arguments in a process that has imported MLflow; return its exit code and its output."""
    process = fork_context().Process(target=_run, args=(source, words, dict(environment), output))
    process.start()
    process.join(300)
    # nothing, if it has ended
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode, output.read_text(errors="replace")


def _run(source: str, words: tuple[str, ...], environment: dict[str, str], output: Path) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = words
    exec(source, {"__name__": "__main__"})
