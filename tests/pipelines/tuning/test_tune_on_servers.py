"""`elp tune` on real servers and a real worker: killed on the way, continued, applied, and read by `elp retrain`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from elp_core.testing import save_tiny
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import open_workspace
from pipelines.registry.client.connection import connect
from pipelines.tuning import tune_trial
from pipelines.tuning.child_runs import PARENT

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1800)]

SETTINGS = """\
# of the test
backbone: {backbone}
defaults: {{asr: {{train: {{epochs: 1, min_steps: 2}}, gate: {{limit: 9, margin: 5, safety: {{max_slowdown: null}}}}}}}}
servers: {{mlflow_port: 0, prefect_port: 0}}
"""
COMMAND = [str(Path(sys.executable).with_name("elp")), "tune", "plant-a/asr", "--trials", "1", "--seeds", "1"]
TRAININGS = 3 + 1 + 2 + 1
"""Present configuration, head alone and layer weights; one trial; two confirmations; the head of the finalist alone."""


def _elp(root: Path, *words: str) -> str:
    done = subprocess.run([COMMAND[0], *words], cwd=root, capture_output=True, text=True, timeout=1200)
    print(f"$ elp {' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery

    root = tmp_path / "tuned"
    _elp(tmp_path, "init", "tuned")
    # nearly all of the time is the start of processes
    (root / "elp.yaml").write_text(SETTINGS.format(backbone=save_tiny(tmp_path / "backbone")))
    subprocess.run(["git", "commit", "-qam", "Settings"], cwd=root, check=True)
    manifest = write_delivery(SITES[0], DeliveryPlan("monday", per_speaker=2), tmp_path / "monday", 1)
    try:
        _elp(root, "up")
        _elp(root, "data", "add", "plant-a/asr", str(manifest))
        yield root
    finally:
        _elp(root, "down", "--yes")


def _trainings(root: Path) -> list[Any]:
    """Return the processes of trainings whose results go into the workspace; they run in a folder of Prefect's."""
    found = [(process, process.info["cmdline"] or [""]) for process in psutil.process_iter(["cmdline"])]
    return [
        process for process, command in found if tune_trial.__name__ in command and command[-1].startswith(f"{root}/")
    ]


def _child_runs(root: Path) -> list[Any]:
    client = connect(mlflow_uri(open_workspace(root)))
    experiments = [one.experiment_id for one in client.search_experiments()]
    return [run for run in client.search_runs(experiments) if run.data.tags.get("elp.kind") == "tuning trial"]


def _finished(children: list[Any]) -> list[Any]:
    return [run for run in children if run.info.status == "FINISHED"]


def _ended(root: Path) -> None:
    """Wait until both runs of the flow have ended well."""
    waited = time.monotonic()
    while True:
        states = [run["state"] for run in json.loads(_elp(root, "runs", "plant-a/asr", "--json"))]
        if states == ["Completed"] * 2:
            return
        assert time.monotonic() - waited < 300, states
        time.sleep(2)


def test_a_killed_run_is_continued_and_its_winner_is_trained(root: Path) -> None:
    with subprocess.Popen(COMMAND, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watched:
        assert watched.stderr is not None
        assert any("layers by their learned weight" in line for line in watched.stderr)
        while not (trainings := _trainings(root)):
            time.sleep(0.1)
        for training in trainings:
            # the process of the flow run; without it, the training ends, too
            training.parent().kill()
        watched.kill()
    shown = json.loads(_elp(root, *COMMAND[1:], "--jobs", "2", "--apply", "--json"))
    found = shown["tuning"]
    assert len([trial for trial in found["trials"] if trial["role"] == "search"]) == 1
    assert found["winner"] is not None
    children = _child_runs(root)
    assert len({run.data.tags[PARENT] for run in children}) == 1
    assert len(_finished(children)) == TRAININGS
    text = (root / "elp.yaml").read_text()
    assert text.startswith("# of the test\n")
    applied = open_workspace(root).settings.slots["plant-a/asr"]["adapter"]
    assert applied == found["finalists"][found["winner"]]["tried"]["settings"]["adapter"]
    # the killed run is started again, and has nothing to do: the settings have the winner by now
    _ended(root)
    children = _child_runs(root)
    # the trial that was killed waits behind the other starting points, so this study ends without it
    assert {run.info.status for run in children} <= {"FINISHED", "KILLED"}
    assert len(_finished(children)) == TRAININGS
    subprocess.run(["git", "commit", "-qam", "Tuned"], cwd=root, check=True)
    trained = json.loads(_elp(root, "train", "plant-a/asr", "--json"))
    assert trained["run"]["state"] == "Completed"
