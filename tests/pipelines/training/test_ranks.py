"""A training in two processes on the CPU: the tensors of one process, and no process that outlives a fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError, TrainingError
from elp_core.training import Job, train
from pipelines.local.settings import Settings, read_settings
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import Lineage, TrainerHardware
from pipelines.training import ranks
from pipelines.training.inputs import TrainingInputs, gather_inputs
from pipelines.training.rank_process import STORE, RankTask
from pipelines.training.ranks import rank_environments, train_in_ranks
from pipelines.training.train import train_adapters
from tests.support.running_children import running_children
from tests.support.workspaces import Site

LIMIT = 180.0
ROOT = Path(__file__).parents[3]


def several(site: Site, count: int = 2, **train_values: Any) -> Settings:
    """The site's settings for ASR in `count` processes, without dropout: its draws depend on the process."""
    own: dict[str, Any] = dict(site.settings.defaults["asr"])
    own["adapter"] = {**own["adapter"], "dropout": 0.0}
    own["train"] = {**own["train"], "seed": 5, **train_values}
    return replace(site.settings, defaults={"asr": {**own, "task": {"dropout": 0.0}, "compute": {"processes": count}}})


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def inputs_of(site: Site, mlflow_uri: str, settings: Settings, cache: Path) -> TrainingInputs:
    tags = {site.asr: site.asr.tag(1)}
    (inputs,) = gather_inputs(connect(mlflow_uri), site.repository, tags, settings, cache)
    return inputs


def job_of(inputs: TrainingInputs, folder: Path, observer: Any = None) -> Job:
    data, config = inputs.data, inputs.settings.train
    checkpoint, features = folder / "checkpoint", folder / "features"
    return Job(inputs.new_model(), data.train, data.validation, config, observer, checkpoint, features)


def wait_until(happened: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < ends, f"waited {LIMIT:.0f} s for {what}"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.usefixtures("paths")
def test_two_processes_train_the_adapter_of_one(site: Site, mlflow_uri: str, tmp_path: Path) -> None:
    settings, cache = several(site), tmp_path / "cache"
    logged: list[str] = []
    steps: list[int] = []
    done = train_adapters(
        site.repository, {site.asr: site.asr.tag(1)}, settings, mlflow_uri=mlflow_uri, cache=cache, log=logged.append,
        progress=lambda done, total, note="": steps.append(done),
    )[site.asr]  # fmt: skip
    assert "training in 2 processes" in logged
    assert steps[-1] >= 8
    bundle = next(cache.glob("bundles/*/bundle"))
    lineage = Lineage.from_json(json.loads((bundle / "lineage.json").read_text()))
    assert lineage.hardware.processes == 2
    inputs = inputs_of(site, mlflow_uri, several(site, 1), tmp_path / "other")
    assert inputs.key == done.key, "the number of processes is no part of the key"
    alone = job_of(inputs, tmp_path / "alone")
    train(alone.model, alone.train_clips, alone.validation_clips, alone.config)
    made = load_file(bundle / "adapter_model.safetensors")
    for name, value in alone.model.state().items():
        torch.testing.assert_close(
            made[name], value, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert not list((cache / "bundles").glob("*/ranks-*"))
    assert not list((cache / "bundles").glob("*/checkpoint"))


@pytest.mark.slow
@pytest.mark.usefixtures("paths")
def test_a_process_that_dies_ends_the_others_and_the_checkpoint_stays(
    site: Site, mlflow_uri: str, tmp_path: Path
) -> None:
    settings = several(site, epochs=500, patience=0, checkpoint_minutes=0.0)
    inputs = inputs_of(site, mlflow_uri, settings, tmp_path / "cache")
    folder, errors = tmp_path / "folder", list[Exception]()

    def run() -> None:
        try:
            where: dict[str, Any] = {
                "repository": site.repository,
                "mlflow_uri": mlflow_uri,
                "cache": tmp_path / "cache",
            }
            train_in_ranks(inputs, job_of(inputs, folder), settings, 2, **where)
        except TrainingError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: errors or list((folder / "checkpoint").glob("*")), "the first checkpoint")
    children = running_children("pipelines.training.rank_process")
    assert len(children) == 2, errors
    killed = time.monotonic()
    children[1].kill()
    thread.join(LIMIT)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert time.monotonic() - killed < 30.0
    (error,) = errors
    assert "process 1 of the 2 that train together was ended by signal 9, and the others were stopped" in str(error)
    # another number of processes continues from it
    few = replace(inputs, settings=replace(inputs.settings, train=replace(inputs.settings.train, epochs=500)))
    seen: list[int] = []

    class Stop:
        def on_step(self, step: int, *_: object) -> None:
            seen.append(step)
            raise KeyboardInterrupt

        def on_epoch(self, *_: object) -> None:
            """Nothing."""

    job = job_of(few, folder, Stop())
    with pytest.raises(KeyboardInterrupt):
        train(job.model, job.train_clips, job.validation_clips, job.config, job.observer, job.checkpoint)
    assert seen[0] > 1


@pytest.mark.slow
@pytest.mark.usefixtures("paths")
def test_no_process_outlives_a_parent_that_is_killed(site: Site, mlflow_uri: str, tmp_path: Path) -> None:
    settings = several(site)
    inputs = inputs_of(site, mlflow_uri, settings, tmp_path / "cache")
    task = RankTask(
        site.repository, str(site.asr), site.asr.tag(1), to_dict(settings), mlflow_uri, str(tmp_path / "cache"),
        inputs.key, str(tmp_path / "checkpoint"), str(tmp_path / "features"), str(tmp_path), 2,
    )  # fmt: skip
    (tmp_path / "task.json").write_text(json.dumps(to_dict(task)))
    # one of two processes: it waits for the other
    script = (
        "import sys, time; from pathlib import Path; from pipelines.training import ranks\n"
        "folder = Path(sys.argv[1])\n"
        "with ranks._started(ranks.rank_environments(2, 'cpu')[:1], folder) as (rank,):\n"
        "    rank.stdin.write((folder / 'task.json').read_text() + '\\n'); rank.stdin.flush()\n"
        "    print(rank.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    rank = psutil.Process(int(parent.stdout.readline()))
    try:
        wait_until((tmp_path / STORE).exists, "the process to wait for the other")
        os.kill(parent.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([rank], timeout=30)
        assert alive == []
    finally:
        parent.kill()
        parent.communicate()


def test_a_process_has_a_gpu_of_its_own_or_a_part_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    cpu = rank_environments(3, "cpu")
    assert [(one["RANK"], one["OMP_NUM_THREADS"], one["ACCELERATE_USE_CPU"]) for one in cpu] == [
        (str(rank), "3", "true") for rank in range(3)
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa, GPU-bbbb")
    gpus = rank_environments(2, "auto")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in gpus] == ["GPU-aaaa", "GPU-bbbb"]
    assert all("ACCELERATE_USE_CPU" not in one for one in gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in rank_environments(2, "cuda")] == ["0", "1"]
    with pytest.raises(TrainingError, match=r"compute\.processes is 3, and this process sees 2 GPU"):
        rank_environments(3, "auto")
    assert all("CUDA_VISIBLE_DEVICES" not in one for one in rank_environments(3, "cpu"))


def test_a_process_reads_the_settings_of_a_workspace_with_schedules() -> None:
    settings = read_settings(
        "calendars: {holidays: [2026-12-25]}\n"
        "schedules: {nightly: {slots: '*/*', cron: '0 2 * * *', calendar: holidays}}\n"
    )
    names = ("repository", "slot", "tag", "mlflow_uri", "cache", "key", "checkpoint", "features", "meeting")
    task = RankTask(**dict.fromkeys(names, ""), settings=to_dict(settings), processes=2)
    read = from_dict(Settings, json.loads(ranks.task_line(task))["settings"], "elp.yaml")
    assert read.schedule_entries() == settings.schedule_entries()


def test_what_a_process_reports_is_the_reason_and_not_the_lost_connections(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_text("RuntimeError: Connection closed by peer\n")
    (tmp_path / "1.log").write_text("")
    assert ranks._reason([1, 1], {1: "the loss is NaN in step 3"}, tmp_path) == "the loss is NaN in step 3"
    assert "process 1 of the 2 that train together was ended by signal 9" in ranks._reason([1, -9], {}, tmp_path)
    assert "(RuntimeError: Connection closed by peer)" in ranks._reason([1, 1], {}, tmp_path)
    assert "ended without a result" in ranks._reason([0, 0], {}, tmp_path)


@pytest.mark.parametrize("value", ["0", "65", "-1"])
def test_a_number_of_processes_that_no_machine_has_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=f"processes is {value}, expected 1 to 64"):
        read_settings(f"slots: {{plant-a/asr: {{compute: {{processes: {value}}}}}}}")


def test_the_lineage_of_one_process_has_the_bytes_that_it_always_had() -> None:
    one, two = Lineage(hardware=TrainerHardware(cores=4)), Lineage(hardware=TrainerHardware(cores=4, processes=2))
    assert "processes" not in one.to_json()["hardware"]
    assert Lineage.from_json(one.to_json()) == one
    assert two.to_json()["hardware"]["processes"] == 2
    assert Lineage.from_json(two.to_json()) == two
