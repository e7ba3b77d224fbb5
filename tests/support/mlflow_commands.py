"""Programs that use MLflow's own code on a server's database, as a person with the machine does, past the guard.

Each runs in a process of its own, forked from one that has imported MLflow once: the import takes 4 s of processor
time. This module is that process, if it is run as a program.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

COMMAND_LINE = "import sys; from mlflow.cli import cli; cli(sys.argv[1:], prog_name='mlflow')"
"""The program `mlflow`."""
_IMPORTED = ("mlflow.cli", "mlflow.server.handlers", "mlflow.store.tracking.sqlalchemy_store")


@dataclass(frozen=True)
class MlflowProgram:
    """The process that forks, and where the output of the last program is."""

    process: subprocess.Popen[str]
    output: Path

    def run(self, source: str, *words: str, environment: Mapping[str, str]) -> tuple[int, str]:
        """Run Python `source` with arguments; return its exit code, and what it printed and reported."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([source, words, dict(environment), str(self.output)]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process of MLflow's programs has ended"
        return int(answer), self.output.read_text(errors="replace")


@contextlib.contextmanager
def mlflow_program(folder: Path) -> Iterator[MlflowProgram]:
    """Run the process that forks."""
    command = [sys.executable, "-m", "tests.support.mlflow_commands"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # the end of the block closes its input, which ends it
        yield MlflowProgram(process, folder / "output")


def _serve(orders: IO[str]) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in orders:
        source, words, environment, output = json.loads(line)
        pid = os.fork()
        if pid == 0:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.environ.clear()
            os.environ.update(environment)
            sys.argv[1:] = words
            os._exit(_code(source))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _code(source: str) -> int:
    code = 0
    try:
        exec(source, {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.stdin)
