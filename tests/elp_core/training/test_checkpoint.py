from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from elp_core.errors import CheckpointError
from elp_core.training import checkpoint
from elp_core.training.checkpoint import FILE, Checkpoint, load_checkpoint, save_checkpoint

KEPT = Checkpoint(
    {"head.weight": torch.randn(2, 3)}, {"head.weight": torch.randn(2, 3)}, {"step.head.weight": torch.tensor(3.0)},
    {"epoch": 1, "history": [{"value": 0.5}]},
)  # fmt: skip


def same(a: Checkpoint, b: Checkpoint) -> bool:
    pairs = ((a.tensors, b.tensors), (a.best, b.best), (a.moments, b.moments))
    equal = [x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x) for x, y in pairs]
    return a.progress == b.progress and all(equal)


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new", KEPT, "run")
    found = load_checkpoint(tmp_path / "new", "run")
    assert found is not None
    assert same(found, KEPT)
    assert [p.name for p in (tmp_path / "new").iterdir()] == [FILE]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none", "run") is None


def test_another_run_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, KEPT, "run")
    with pytest.raises(CheckpointError, match="belongs to another training"):
        load_checkpoint(tmp_path, "other")


@pytest.mark.parametrize("content", [b"", b"garbage", safetensors.torch.save({"m.a": torch.ones(2)})])
def test_a_damaged_one_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path, "run")


def test_a_full_disk_keeps_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    save_checkpoint(tmp_path, KEPT, "run")
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left.*the previous one is kept"):
        save_checkpoint(tmp_path, KEPT, "run")
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    assert same(load_checkpoint(tmp_path, "run") or KEPT, KEPT)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(tmp_path / "file", KEPT, "run")
