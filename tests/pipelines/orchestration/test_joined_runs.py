"""Slots that become due by schedules are trained in one pass, with real servers and a real worker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines.cli.main import run
from tests.support.night import Night, eventually, night_of
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SITES = ("one", "two", "three", "bad", "alone", "parallel")
SETTINGS = """servers: {mlflow_port: 0, prefect_port: 0, together: 3}
slots:
  bad/asr: {train: {lr_head: 1.0e+30, clip_norm: 1.0e+30}}
  # without dropout, whose draws depend on the process
  alone/asr: {adapter: {dropout: 0.0}, task: {dropout: 0.0}}
  parallel/asr: {adapter: {dropout: 0.0}, task: {dropout: 0.0}, compute: {processes: 2}}
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        patch.setenv("ELP_KEYS", str(folder / "site" / ".elp" / "keys"))
        with night_of(folder, SITES, SETTINGS) as made:
            yield made


@pytest.mark.slow
def test_slots_that_are_due_together_are_trained_in_one_pass_with_a_run_each(
    night: Night, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = night.start("one", "two", "bad")
    states = night.wait(runs)
    assert states["bad"] == "Failed"
    assert states["one"] == states["two"] == "Completed"
    assert "the loss is" in night.run(runs["bad"])["state"]["message"]
    for site, other in (("one", "two"), ("two", "one")):
        (lineage,) = night.lineages(site)
        assert lineage["flow_run"] == runs[site]
        assert f"{other}/asr" in lineage["training"]["beside"]
        assert {"train": "Completed", "gate": "Completed"}.items() <= night.tasks(runs[site]).items()
        log = night.log(runs[site])
        assert "training in one pass: " in log
        # the lines of this slot, and of no other
        assert f"registered {site}/asr v1" in log
        assert f"{other}/asr v1" not in log
        assert night.history(runs[site])[-2:] == ["Running", "Completed"]
    assert night.lineages("bad") == []
    assert run(["schedule", "list", "--json", "-w", str(night.workspace.root)]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert [rows[f"{site}/asr"]["last_state"] for site in ("one", "two", "bad")] == ["Completed", "Completed", "Failed"]
    assert [rows[f"{site}/asr"]["verdict"] for site in ("one", "two", "bad")] == ["passed", "passed", ""]


@pytest.mark.slow
def test_a_training_in_two_processes_by_the_command_line(night: Night, capfd: pytest.CaptureFixture[str]) -> None:
    """The sums of the gradients have another order: the same adapter except for rounding, as the docs say."""
    found = {}
    for site in ("alone", "parallel"):
        capfd.readouterr()
        assert run(["train", f"{site}/asr", "--json", "-w", str(night.workspace.root)]) == 0
        assert json.loads(capfd.readouterr().out)["outcome"]["version"] == 1
        (lineage,) = night.lineages(site)
        found[site] = load_file(night.bundle(lineage["key"]) / "adapter_model.safetensors")
        assert lineage["hardware"].get("processes", 1) == (2 if site == "parallel" else 1)
    assert found["alone"].keys() == found["parallel"].keys()
    for name, value in found["alone"].items():
        # Adam divides by the size of a gradient, so the rounding of a very small one is magnified
        torch.testing.assert_close(found["parallel"][name], value, atol=5e-3, rtol=1e-2)


@pytest.mark.slow
def test_a_cancelled_run_leaves_the_pass_and_all_cancelled_runs_end_it(night: Night) -> None:
    _train_for_longer(night, epochs=400, seed=3)
    workspace = str(night.workspace.root)

    def cancel(name: str) -> None:
        assert run(["cancel", runs[name], "-w", workspace]) == 0

    runs = night.start("one", "two", "three")
    eventually(lambda: all("training in one pass" in night.log(one) for one in runs.values()), 300)
    (leader,) = [site for site, one in runs.items() if str(night.run(one)["infrastructure_pid"]).isdigit()]
    first, second = [site for site in runs if site != leader]
    versions = {site: len(night.lineages(site)) for site in runs}
    cancel(first)
    assert night.states(runs) == {first: "Cancelled", second: "Running", leader: "Running"}
    # what is left ends with the process of the first run
    cancel(leader)
    cancel(second)
    assert set(night.states(runs).values()) == {"Cancelled"}
    time.sleep(20)
    assert set(night.states(runs).values()) == {"Cancelled"}, "none is started again"
    assert {site: len(night.lineages(site)) for site in runs} == versions


@pytest.mark.slow
def test_a_kill_in_the_pass_leaves_no_run_behind(night: Night) -> None:
    """Each run is started again by the supervision, and each slot gets one version."""
    _train_for_longer(night)
    runs = night.start("one", "two", "three")
    eventually(lambda: all("training in one pass" in night.log(one) for one in runs.values()), 300)
    assert set(night.states(runs).values()) == {"Running"}
    marks = {str(night.run(one)["infrastructure_pid"]) for one in runs.values()}
    (pid,) = [mark for mark in marks if mark.isdigit()]
    os.kill(int(pid), signal.SIGKILL)
    killed = time.monotonic()
    assert set(night.wait(runs).values()) == {"Completed"}
    for site, one in runs.items():
        history = night.history(one)
        assert "Crashed" in history, site
        assert history[-1] == "Completed"
    assert [len(night.lineages(site)) for site in ("one", "two", "three")] == [2, 2, 1]
    print(f"\nall three have ended {time.monotonic() - killed:.0f} s after the kill")


def _train_for_longer(night: Night, epochs: int = 40, seed: int = 2) -> None:
    path: Path = night.workspace.root / "elp.yaml"
    text = re.sub(r"epochs: \d+", f"epochs: {epochs}", path.read_text())
    path.write_text(re.sub(r"seed: \d+", f"seed: {seed}", text))
    subprocess.run(["git", "-C", str(night.workspace.root), "commit", "-q", "-am", "Train for longer"], check=True)
