"""The need of a training chooses its queue, and the memory of a GPU the queues of its worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elp_core.errors import ConfigError
from pipelines.errors import UsageError
from pipelines.local.gpu_need import QUEUES, queue_for_need, queues_for, read_architecture, slot_queue, training_need
from pipelines.local.gpus import Gpu
from pipelines.local.settings import read_settings
from pipelines.local.worker_plan import carried_queues, plan_workers
from pipelines.registry.slot import Slot

ASR = Slot("a", "asr")
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}


def _checkpoint(folder: Path, config: dict[str, int]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_embedded_backbone_needs_the_smallest_queue() -> None:
    settings = read_settings("")
    assert 1.5 < training_need(settings, ASR) < 3
    assert slot_queue(settings, [ASR]) == "default"


def test_a_larger_backbone_and_a_longer_batch_need_more(tmp_path: Path) -> None:
    base, large = _checkpoint(tmp_path / "base", BASE), _checkpoint(tmp_path / "large", LARGE)
    found = read_architecture(str(base))
    assert found is not None
    assert found.parameters == pytest.approx(95e6, rel=0.05)
    needs = [
        training_need(read_settings(f"backbone: {folder}\ndefaults: {{asr: {{train: {train}}}}}"), ASR)
        for folder in (base, large)
        for train in ("{batch_seconds: 16}", "{batch_seconds: 64}", "{batch_seconds: 64, precision: bf16}")
    ]
    assert needs[0] < needs[2] < needs[1]
    assert needs[3] < needs[5] < needs[4]
    assert all(base < large for base, large in zip(needs[:3], needs[3:], strict=True))
    settings = read_settings(f"backbone: {base}")
    assert training_need(settings, ASR, together=4) > training_need(settings, ASR)
    minutes = "train: {batch_seconds: 240}"
    short, long = (
        read_settings(f"backbone: {base}\ndefaults: {{asr: {{{minutes}, data: {{max_seconds: {most}}}}}}}")
        for most in (20, 240)
    )
    assert training_need(short, ASR) < training_need(long, ASR) / 2, "no utterance is as long as the batch"
    assert slot_queue(long, [ASR]) == "gpu-141", "an estimate refuses no training"


def test_a_backbone_of_the_hub_is_read_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert read_architecture("facebook/wav2vec2-base") is None
    assert slot_queue(read_settings("backbone: facebook/wav2vec2-base"), [ASR]) == "default", "not known"
    _checkpoint(tmp_path / "models--facebook--wav2vec2-base" / "snapshots" / "abc", BASE)
    found = read_architecture("facebook/wav2vec2-base")
    assert found is not None
    assert found.layers == 12


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hidden_size": "x"}', "\x00"])
def test_a_damaged_configuration_is_no_fault_here(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert read_architecture(str(tmp_path)) is None


def test_a_need_can_be_set_and_changes_the_queue_only() -> None:
    settings = read_settings("slots: {a/asr: {compute: {gpu_memory: 30}}}")
    assert slot_queue(settings, [ASR]) == "gpu-48"
    assert slot_queue(settings, [Slot("b", "asr")]) == "default"
    assert settings.for_slot(ASR).train == read_settings("").for_slot(ASR).train
    for value in ("-1", "x", ".nan", "99999"):
        with pytest.raises(ConfigError, match="gpu_memory"):
            read_settings(f"slots: {{a/asr: {{compute: {{gpu_memory: {value}}}}}}}")


def test_the_smallest_queue_that_is_large_enough() -> None:
    assert [queue_for_need(need) for need in (0, 7.5, 7.6, 22, 23, 75, 135)] == [
        *("default", "default", "gpu-16", "gpu-24", "gpu-48", "gpu-80", "gpu-141"),
    ]
    with pytest.raises(UsageError, match="needs 200 GiB of GPU memory fits no queue"):
        queue_for_need(200)
    with pytest.raises(UsageError, match=r"a/asr: a training that needs 200 GiB .* compute.gpu_memory .* or to 0"):
        slot_queue(read_settings("slots: {a/asr: {compute: {gpu_memory: 200}}}"), [ASR])


def test_a_worker_listens_to_what_its_share_of_the_gpu_carries() -> None:
    assert queues_for(4) == ("default",)
    assert queues_for(23.6) == ("default", "gpu-16", "gpu-24")
    assert queues_for(139.8) == tuple(QUEUES)
    gpus = [Gpu("GPU-a", 47.5), Gpu("GPU-b", 11.0)]
    assert [spec.queues for spec in plan_workers(gpus, "w", shares=2)[1:]] == [
        ("default", "gpu-16", "gpu-24"), ("default",),
    ]  # fmt: skip
    assert plan_workers([], "w")[1].queues == ()
    assert plan_workers(gpus, "w", queues=("gpu-80",))[1].queues == ("gpu-80",)


@pytest.mark.parametrize(
    ("gpus", "visible", "shares", "queues"),
    [
        ("", None, "1", tuple(QUEUES)),
        ("GPU-a:48,GPU-b:8", "GPU-a", "1", ("default", "gpu-16", "gpu-24", "gpu-48")),
        ("GPU-a:48,GPU-b:8", "GPU-a", "2", ("default", "gpu-16", "gpu-24")),
        ("GPU-a:48,GPU-b:8", "GPU-a,GPU-b", "1", ("default",)),
        # one that the driver does not name, and none at all
        ("GPU-a:48", "GPU-x", "1", ("default",)),
        ("GPU-a:48", "", "1", tuple(QUEUES)),
    ],
)
def test_a_process_carries_the_queues_of_the_gpu_that_it_may_use(
    monkeypatch: pytest.MonkeyPatch, gpus: str, visible: str | None, shares: str, queues: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ELP_TEST_GPUS", gpus)
    monkeypatch.setenv("ELP_GPU_SHARES", shares)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert carried_queues() == queues
