from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from elp_core.training.batches import TrainingBatches
from tests.support import parallel_run
from tests.support.mlflow_server import free_port
from tests.support.parallel_run import CLIPS, CONFIG

ROOT = Path(__file__).resolve().parents[3]


def _environments(count: int) -> list[dict[str, str]]:
    """What `torchrun` gives each of its processes; without its launcher, which imports PyTorch a third time."""
    shared = {
        "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    return [{**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    command = [sys.executable, "-m", parallel_run.__name__, str(tmp_path), str(tmp_path / "checkpoint")]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for environment in _environments(2)
    ]
    ended = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended[0][1][-3000:] + ended[1][1][-3000:]
    assert [out.split("\n").count("epoch 1") for out, _ in ended] == [1, 0]
    alone = parallel_run.run().state()
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=1e-5, rtol=1e-4)
    assert len(list((tmp_path / "checkpoint").iterdir())) == 1


def test_the_parts_of_a_batch_are_the_whole() -> None:
    batches = TrainingBatches(CLIPS, make_task("asr", CLIPS), tiny_backbone("hubert"), CONFIG)
    whole = list(batches.batches(1))
    parts = [list(batches.batches(1, part=part, parts=2)) for part in (0, 1)]
    for one, *two in zip(whole, *parts, strict=True):
        shares = [batch.share for batch in two]
        assert sum(shares) == 1.0
        assert sorted(name for e in two if e.share for name in e.ids) == sorted(one.ids)
        for part, batch in enumerate(two):
            if batch.share:
                rows = one.values[part::2, : batch.values.shape[1]]
                assert torch.equal(batch.values, rows)
