"""The tests of `elp_core` in environments with the oldest and the newest torch and transformers of its range.

Each environment takes up to 7 GB. Set ELP_VERSION_VENVS to a folder to keep them for the next run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# without a version, pip takes the newest that it can get
COMBINATIONS = {
    "oldest": ["torch==2.9.1", "torchaudio==2.9.1", "transformers==5.0.0"],
    "newest": ["torch", "torchaudio", "transformers"],
}
TOOLS = ["pytest", "pytest-timeout", "hypothesis", "scipy", "scikit-learn", "datasets", "peft", "ctc-beam-decoder"]

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(5400)]


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_core_passes_its_tests_with(combination: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("ELP_VERSION_VENVS") or tmp_path) / combination
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    install = [python, "-m", "pip", "install", "--quiet", *COMBINATIONS[combination], *needed, *TOOLS]
    installed = subprocess.run(install, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"{combination}: {installed.stderr.strip().splitlines()[-1]}")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "tests/elp_core"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
