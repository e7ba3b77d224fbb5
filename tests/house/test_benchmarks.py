from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
NOT_LOCKED = {"serve_litserve", "serve_ray"}
"""They need packages that are not in the lock."""


def test_every_benchmark_finds_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted({path.stem for path in FOLDER.glob("*.py")} - NOT_LOCKED)
    assert "bench_training" in names
    monkeypatch.syspath_prepend(FOLDER)
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        for name in names:
            sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.integration
def test_the_gpu_script_runs_every_part_at_toy_size_on_a_cpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(FOLDER / "gpu.sh"), "--toy", "--out", str(tmp_path)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(
        ["correctness", "resume", "training-base", "training-large", "together", "host", "serving", "profile"], "done"
    )
    rows = {name: sum("cells" in record for record in part["records"]) for name, part in parts.items()}
    assert rows == {
        **{"correctness": 33, "resume": 2, "training-base": 8, "training-large": 8},
        **{"together": 3, "host": 2, "profile": 30, "serving": 1},
    }
    shown = (tmp_path / "gpu.md").read_text()
    assert "| against | its s | our s | its GiB | our GiB | ratio |" in shown
    assert "NO |" not in shown


@pytest.mark.slow
@pytest.mark.integration
def test_an_evaluation_is_divided_by_every_engine_with_the_same_bits() -> None:
    pytest.importorskip("prefect_dask", reason="prefect-dask is not installed: pip install 'elp-foundry[dask]'")
    words = ["--evaluation", "--clips", "16", "--engines", "processes", "dask", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "bench_fan_out.py"), *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "2 processes, best rounds: " in done.stdout
    assert "dask, best rounds: " in done.stdout


def test_the_gpu_script_names_the_wheels_that_are_missing() -> None:
    # without the site packages every one of them is missing
    done = subprocess.run([sys.executable, "-S", str(FOLDER / "gpu.py")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("missing on this machine, bring these wheels: torch==")
    assert "soundfile==0.14.0 cffi==2.1.1 RapidFuzz==3.14.6" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_gpu_script_refuses_a_machine_without_gpu() -> None:
    done = subprocess.run(
        [str(FOLDER / "gpu.sh")],
        env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "torch sees no GPU on this machine; try the script with --toy\n")
