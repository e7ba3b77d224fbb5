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
from tests.support.parallel_run import CLIPS, CONFIG

ROOT = Path(__file__).resolve().parents[3]


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    command += [parallel_run.__name__, str(tmp_path), str(tmp_path / "checkpoint")]
    where = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=where, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n").count("epoch 1") == 1
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
