from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.bundle import bundle_digest, write_bundle
from elp_core.errors import AudioError, BundleError, ConfigError, FingerprintMismatch, HostError
from elp_core.inference import AdapterHost, Request
from elp_core.methods.config import WeightedSumConfig
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone
from tests.support.clips import two_speakers
from tests.support.hosting import WAVEFORMS, Adapter, all_same, make_model, write_adapters

BACKBONE = tiny_backbone("wavlm")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    return write_adapters(BACKBONE, tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def host(adapters: list[Adapter]) -> AdapterHost:
    """Every adapter under its number."""
    return serving(adapters)


def serving(adapters: list[Adapter], **options: Any) -> AdapterHost:
    made = AdapterHost(BACKBONE, **options)
    for number, adapter in enumerate(adapters):
        made.load(str(number), adapter.folder, now=number % 2 == 0)
    return made


def asks(name: str) -> list[Request]:
    return [Request(name, waveform) for waveform in WAVEFORMS]


@pytest.mark.parametrize("batch_seconds", [0.01, 0.7, 32.0])
def test_a_mixed_batch_gives_each_adapters_own_answers(adapters: list[Adapter], batch_seconds: float) -> None:
    host = serving(adapters, batch_seconds=batch_seconds)
    everything = list(itertools.product(range(len(adapters)), range(len(WAVEFORMS))))[::-1]
    answers = host.answer([Request(str(number), WAVEFORMS[place]) for number, place in everything])
    assert all_same(answers, [adapters[number].alone[place] for number, place in everything])
    assert host.answer([]) == []


@pytest.mark.parametrize("family", ["hubert", "data2vec-audio"])
def test_other_backbones_too(family: str, tmp_path: Path) -> None:
    backbone = tiny_backbone(family)
    host, made = AdapterHost(backbone), write_adapters(backbone, tmp_path)
    for number, adapter in enumerate(made):
        host.load(str(number), adapter.folder)
    answers = host.answer([request for number in range(len(made)) for request in asks(str(number))])
    assert all_same(answers, [answer for adapter in made for answer in adapter.alone])


def test_stacked_weights_answer_alike(host: AdapterHost, adapters: list[Adapter], monkeypatch: Any) -> None:
    from elp_core.inference import host as module

    real = module.mixed_frames
    monkeypatch.setattr(module, "mixed_frames", lambda backbone, parts: real(backbone, parts, stack=True))
    answers = host.answer([request for number in range(len(adapters)) for request in asks(str(number))])
    assert all_same(answers, [answer for adapter in adapters for answer in adapter.alone])


def test_a_cpu_computes_in_float32_also_if_mixed_precision_is_asked_for(adapters: list[Adapter]) -> None:
    # `benchmarks/gpu.sh` compares mixed precision with float32 on a GPU
    answers = serving(adapters, precision="bf16").answer(asks("0"))
    assert all_same(answers, adapters[0].alone)


def test_the_cnn_hears_each_waveform_once(host: AdapterHost, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    real = Backbone.features

    def features(self: Backbone, waveforms: torch.Tensor, lengths: torch.Tensor, *, keep_padding: bool) -> Any:
        heard.extend(lengths.tolist())
        return real(self, waveforms, lengths, keep_padding=keep_padding)

    monkeypatch.setattr(Backbone, "features", features)
    host._batch_seconds = 1.0  # so that one sound's requests fall into two batches
    host.answer([Request(str(number), waveform.copy()) for waveform in WAVEFORMS for number in range(5)])
    assert sorted(heard) == sorted(len(waveform) for waveform in WAVEFORMS)


def test_a_call_keeps_the_adapters_it_began_with(adapters: list[Adapter], monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving(adapters, memory_bytes=0)
    real = Backbone.features

    def features(self: Backbone, *given: torch.Tensor, **options: bool) -> Any:
        monkeypatch.undo()
        host.replace("0", adapters[3].folder)
        host.remove("2")
        assert all_same(host.answer(asks("0")), adapters[3].alone)
        return real(self, *given, **options)

    monkeypatch.setattr(Backbone, "features", features)
    assert all_same(host.answer([*asks("0"), *asks("2")]), [*adapters[0].alone, *adapters[2].alone])
    assert all_same(host.answer(asks("0")), adapters[3].alone)
    assert host.resident_bytes == 0


def test_the_adapter_before_is_the_way_back(host: AdapterHost, adapters: list[Adapter]) -> None:
    before = host.replace("0", adapters[1].folder)
    assert all_same(host.answer(asks("0")), adapters[1].alone)
    assert before.digest == bundle_digest(adapters[0].folder)
    host.replace("0", before)
    assert all_same(host.answer(asks("0")), adapters[0].alone)


def test_a_model_in_memory_is_served_and_never_let_go(adapters: list[Adapter]) -> None:
    host = AdapterHost(BACKBONE, memory_bytes=0)
    host.add("0", make_model(BACKBONE, 0).train())
    assert all_same(host.answer(asks("0")), adapters[0].alone)
    assert host.resident_bytes > 0
    host.remove("0")
    assert (host.names, host.resident_bytes) == ((), 0)


@pytest.mark.parametrize("room", [0.0, 1.5, 2.5, 9.0])
def test_memory_is_bounded_and_the_least_recently_used_goes(
    adapters: list[Adapter], room: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elp_core.inference import adapter_cache

    size = AdapterHost(BACKBONE)
    size.load("0", adapters[0].folder)
    read: list[str] = []
    real = adapter_cache.open_bundle
    monkeypatch.setattr(adapter_cache, "open_bundle", lambda f, b: read.append(f.name) or real(f, b))
    host = AdapterHost(BACKBONE, memory_bytes=int(room * size.resident_bytes))
    for name in "ab":
        host.load(name, adapters[0 if name == "a" else 1].folder, now=False)
    for name in "abba":
        assert all_same(host.answer(asks(name)), adapters[0 if name == "a" else 1].alone)
        assert host.resident_bytes <= room * size.resident_bytes
    assert read == {0.0: ["0", "1", "1", "0"], 1.5: ["0", "1", "0"]}.get(room, ["0", "1"])


def _altered(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize("now", [True, False])
def test_a_bundle_that_cannot_serve_is_refused_at_registration(
    host: AdapterHost, adapters: list[Adapter], tmp_path: Path, now: bool
) -> None:
    foreign = write_adapters(tiny_backbone("hubert"), tmp_path / "foreign", 1)[0].folder
    broken = shutil.copytree(adapters[0].folder, tmp_path / "broken")
    _altered(broken)
    with pytest.raises(FingerprintMismatch, match="belongs to a backbone with fingerprint"):
        host.load("new", foreign, now)
    with pytest.raises(BundleError, match="was altered"):
        host.load("new", broken, now)
    assert "new" not in host.names


def test_a_failed_replace_leaves_the_old_one_serving(
    host: AdapterHost, adapters: list[Adapter], tmp_path: Path
) -> None:
    other = tiny_backbone("hubert")
    elsewhere = AdapterHost(other)
    elsewhere.add("x", make_model(other, 0))
    broken = shutil.copytree(adapters[1].folder, tmp_path / "broken")
    _altered(broken)
    for source, error, message in [
        (broken, BundleError, "was altered"),
        (tmp_path / "nowhere", BundleError, "no such folder"),
        (make_model(other, 0), FingerprintMismatch, "belongs to a backbone"),
        (elsewhere.remove("x"), FingerprintMismatch, "belongs to a backbone"),
    ]:
        with pytest.raises(error, match=message):
            host.replace("0", source)
        assert all_same(host.answer(asks("0")), adapters[0].alone)


def test_what_is_read_again_must_be_what_was_registered(adapters: list[Adapter], tmp_path: Path) -> None:
    folder = shutil.copytree(adapters[0].folder, tmp_path / "bundle")
    host = AdapterHost(BACKBONE, memory_bytes=0)
    host.load("0", folder)
    _altered(folder)
    with pytest.raises(BundleError, match="was altered"):
        host.answer(asks("0"))
    shutil.rmtree(folder)
    shutil.copytree(adapters[1].folder, folder)
    with pytest.raises(BundleError, match=r"holds sha256:\w+, registered was sha256:"):
        host.answer(asks("0"))
    shutil.rmtree(folder)
    shutil.copytree(adapters[0].folder, folder)
    assert all_same(host.answer(asks("0")), adapters[0].alone)


def test_names_are_checked(host: AdapterHost, adapters: list[Adapter]) -> None:
    with pytest.raises(HostError, match="0 is served already; give it another adapter with replace"):
        host.load("0", adapters[0].folder)
    with pytest.raises(HostError, match=r"no adapter is served as 'x'; 5 are, such as: 0, 1, 2"):
        host.answer(asks("x"))
    with pytest.raises(HostError, match="no adapter is served as 'x'"):
        host.replace("x", adapters[0].folder)
    with pytest.raises(HostError, match="no adapter is served as 'x'"):
        host.remove("x")


def test_a_waveform_that_cannot_be_used_is_named(host: AdapterHost) -> None:
    with pytest.raises(AudioError, match="waveform 1 has 100 samples"):
        host.answer([Request("0", WAVEFORMS[0]), Request("0", WAVEFORMS[0][:100])])


def test_another_method_is_refused_at_registration(host: AdapterHost, tmp_path: Path) -> None:
    clips = two_speakers(2)
    other = build(BACKBONE, WeightedSumConfig(), make_task("asv", clips), seed=0)
    write_bundle(tmp_path / "other", other, {}, {})
    with pytest.raises(HostError, match="a host mixes ELP adapters; this one is a WeightedSumConfig"):
        host.load("other", tmp_path / "other", now=False)
    with pytest.raises(HostError, match="serve it by `predict`"):
        host.add("other", other)
    assert "other" not in host.names


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"precision": "fp8"}, "precision is 'fp8', expected no, bf16 or fp16"),
        ({"memory_bytes": -1}, "memory_bytes is -1"),
    ],
)
def test_a_host_that_makes_no_sense_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AdapterHost(tiny_backbone(), **values)
