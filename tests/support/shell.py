"""A line of a page, run as a reader runs it: in bash, with this environment's `elp` first on the PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def shell(line: str, cwd: Path, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `line` in `cwd`, and print it with what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=cwd, capture_output=True, text=True, timeout=timeout,
        env={**os.environ, "PATH": path, **environment},
    )  # fmt: skip
    print(f"$ {line}\n{done.stdout}{done.stderr}")
    return done
