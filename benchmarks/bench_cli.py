"""Start-up of the command line, as multiples of an empty Python process (median of runs, side by side)."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from turns import take_turns

RUNS = 9


def _run(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=False, capture_output=True)


def main() -> None:
    elp = str(Path(sys.executable).with_name("elp"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "elp --help": [elp, "--help"],
        "elp status": [elp, "status"],
        "elp data --help": [elp, "data", "--help"],
    }
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(GIT_AUTHOR_NAME="b", GIT_AUTHOR_EMAIL="b@example.org")
        os.environ.update(GIT_COMMITTER_NAME="b", GIT_COMMITTER_EMAIL="b@example.org")
        subprocess.run([elp, "init", folder], check=True, capture_output=True)
        # the turn that does not count writes byte code and fills the page cache
        times = take_turns({name: partial(_run, command, folder) for name, command in commands.items()}, RUNS)
    base = statistics.median(times["python -c pass"])
    print("| command | median s | min s | x an empty Python |\n|---|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| `{name}` | {middle:.3f} | {min(values):.3f} | {middle / base:.1f} |")


if __name__ == "__main__":
    main()
