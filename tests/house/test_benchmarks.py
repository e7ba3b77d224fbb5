from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_every_benchmark_finds_what_it_measures() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert "bench_training" in names
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"], cwd=FOLDER, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
