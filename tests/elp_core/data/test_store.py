from __future__ import annotations

import logging
import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch

from elp_core.data import store as module
from elp_core.data.store import ABANDONED, TensorStore


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_tensor_goes_out_and_in_again(tmp_path: Path) -> None:
    values = torch.randn(2, 5, 3).half()
    assert TensorStore(tmp_path).put("ab1", values)
    found = TensorStore(tmp_path).get("ab1")
    assert found is not None
    assert torch.equal(found, values)
    assert TensorStore(tmp_path).get("ab2") is None


def test_a_reader_maps_the_file_and_keeps_what_is_dropped_meanwhile(tmp_path: Path) -> None:
    store, values = TensorStore(tmp_path), torch.randn(64, 64)
    store.put("ab1", values)
    found = store.get("ab1")
    assert found is not None
    assert str(files(tmp_path)[0]) in Path("/proc/self/maps").read_text()
    files(tmp_path)[0].unlink()
    assert torch.equal(found, values)
    assert store.get("ab1") is None


@pytest.mark.parametrize("content", [b"", b"cut", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_file_counts_as_none_and_is_written_over(tmp_path: Path, content: bytes) -> None:
    store = TensorStore(tmp_path)
    store.put("ab1", torch.zeros(3))
    files(tmp_path)[0].write_bytes(content)
    assert store.get("ab1") is None
    store.put("ab1", torch.ones(3))
    assert float(TensorStore(tmp_path).get("ab1").sum()) == 3


def test_the_least_recently_used_go_and_the_bound_holds(tmp_path: Path) -> None:
    store = TensorStore(tmp_path, limit=20_000)
    for number in range(4):
        store.put(f"{number:02}", torch.zeros(1000))
        os.utime(files(tmp_path)[-1], (number, number))
    store.get("00")
    for number in range(4, 7):
        store.put(f"{number:02}", torch.zeros(1000))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 20_000
    kept = {path.stem for path in files(tmp_path)}
    assert kept == {"00", "04", "05", "06"}


def test_what_alone_is_over_the_bound_is_not_kept(tmp_path: Path) -> None:
    assert not TensorStore(tmp_path, limit=1000).put("ab1", torch.zeros(1000))
    assert files(tmp_path) == []


def test_a_full_disk_is_told_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    store = TensorStore(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert not store.put("ab1", torch.zeros(3))
        assert not store.put("ab2", torch.zeros(3))
    assert caplog.text.count("No space left") == 1
    assert files(tmp_path) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    for name, age in (("old.tmp", ABANDONED + 60), ("new.tmp", 0.0)):
        (tmp_path / "ab" / name).touch()
        os.utime(tmp_path / "ab" / name, (time.time() - age,) * 2)
    TensorStore(tmp_path).put("ab1", torch.zeros(3))
    assert [path.name for path in files(tmp_path)] == ["ab1.safetensors", "new.tmp"]


def _hammer(folder: Path, failures: multiprocessing.Queue[str]) -> None:
    store = TensorStore(folder, limit=60_000)  # room for a quarter of them: every worker drops what others read
    for turn in range(400):
        number = (turn * 7) % 53
        found = store.get(f"{number:03}")
        if found is not None and not bool((found == number).all()):
            failures.put(f"{number}: {found}")
        if found is None:
            store.put(f"{number:03}", torch.full((1000,), float(number)))


def test_concurrent_workers_never_see_half_a_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    failures = context.Queue()
    workers = [context.Process(target=_hammer, args=(tmp_path, failures)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert failures.empty()
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 60_000 * (1 + 3 / module.SHARE) + 3 * 4200
