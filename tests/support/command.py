"""The command `elp` in a test's own process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli.main import run

Elp = Callable[..., tuple[int, str, str]]
"""Arguments to exit code, standard output and standard error."""


def elp_in(root: Path, capsys: pytest.CaptureFixture[str]) -> Elp:
    """Return a function that runs `elp` in the workspace `root`."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["-w", str(root), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
