from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elp_core.assemble import build
from elp_core.backbones import Backbone, tensor_digests
from elp_core.bundle import load_bundle, verify_bundle, write_bundle
from elp_core.config import (
    AugmentConfig,
    ElpConfig,
    EncoderAdapterConfig,
    LayerAdapterConfig,
    PromptConfig,
    TrainConfig,
)
from elp_core.errors import ConfigError, NoGradient
from elp_core.methods.config import (
    METHODS,
    BottleneckConfig,
    ConvConfig,
    DeepPromptConfig,
    FullConfig,
    LoraConfig,
    MethodConfig,
    ParallelConfig,
    TopLayersConfig,
    WeightedSumConfig,
    method_from_dict,
    method_to_dict,
)
from elp_core.model import ElpModel
from elp_core.task_specs import VerificationOptions
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone, waveform_batch
from elp_core.training import train
from tests.support.clips import two_speakers

CLIPS, HELD_OUT = two_speakers(2), two_speakers(2, seed=1)
TASK = make_task("asv", CLIPS, VerificationOptions(dropout=0.0))
E, L, P = EncoderAdapterConfig(6), LayerAdapterConfig(10), PromptConfig(2)
SMALL: dict[str, MethodConfig] = {
    **{name: method.config for name, method in METHODS.items()},
    "bottleneck": BottleneckConfig(4),
    "conv": ConvConfig(4, 8),
    "prefix": DeepPromptConfig(2),
    "inter": ParallelConfig(4, 6),
    "e": ElpConfig(E, None, None),
    "l": ElpConfig(None, L, None, tune_norms=False),
    "el": ElpConfig(E, L, None),
    "elp": ElpConfig(E, L, P),
}
"""Every method of the registry, as small as the backbone of the tests."""
FAMILIES = ("wav2vec2", "hubert", "wavlm", "wav2vec2-bert")
PAIRWISE = [
    pytest.param(
        name,
        family,
        (row + column) % 2 == 1,
        # each method is always on the family with convolutions in its layers, and on one of the three without
        marks=[pytest.mark.slow] * (column not in (3, row % 3)),
    )
    for row, name in enumerate(SMALL)
    for column, family in enumerate(FAMILIES)
]
"""Every pair of method and family, of method and norm style, of family and norm style."""
PLAIN = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)
CONFIG = TrainConfig(
    epochs=4, batch_seconds=8.0, min_steps=1, device="cpu", lr_head=1e-3, patience=0, warmup=0.0, augment=PLAIN
)


def model(config: MethodConfig, family: str = "hubert", pre_norm: bool = False) -> ElpModel:
    without = {"dropout": 0.0} if hasattr(config, "dropout") else {}
    return build(tiny_backbone(family, pre_norm), replace(config, **without), TASK, seed=0)


@pytest.mark.parametrize(("name", "family", "pre_norm"), PAIRWISE)
def test_every_method_learns_and_leaves_the_backbone(name: str, family: str, pre_norm: bool) -> None:
    trained = model(SMALL[name], family, pre_norm)
    before, fresh = tensor_digests(trained.backbone.state_dict()), tensor_digests(trained.state())
    result = train(trained, CLIPS, HELD_OUT, METHODS[name].rates(CONFIG))
    assert result.history[-1].loss < result.history[0].loss
    assert tensor_digests(trained.backbone.state_dict()) == before
    assert not any(p.requires_grad for p in trained.backbone.parameters())
    after = tensor_digests(trained.state())
    assert {n for n in trained.trainable() if fresh[n] == after[n]} == set()


@pytest.mark.parametrize(("name", "family", "pre_norm"), PAIRWISE)
@torch.no_grad()
def test_a_clip_alone_and_in_a_padded_batch_have_the_same_frames(name: str, family: str, pre_norm: bool) -> None:
    made = model(SMALL[name], family, pre_norm).eval()
    for tensor in made.trainable().values():
        tensor.add_(0.1 * torch.randn_like(tensor))
    waves, lengths = waveform_batch([6000, 4000])
    together, counts = made(waves, lengths)
    alone, _ = made(waves[1:, :4000], lengths[1:])
    torch.testing.assert_close(together[1, : int(counts[1])], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "family", "pre_norm"), PAIRWISE)
@torch.no_grad()
def test_its_bundle_gives_the_same_frames(name: str, family: str, pre_norm: bool, tmp_path: Path) -> None:
    first = model(SMALL[name], family, pre_norm).eval()
    for tensor in first.trainable().values():
        tensor.add_(0.1 * torch.randn_like(tensor))
    write_bundle(tmp_path / "bundle", first, {}, {})
    assert verify_bundle(tmp_path / "bundle").adapter == first.config
    second = load_bundle(tmp_path / "bundle", first.backbone)
    batch = waveform_batch([6000, 4000])
    assert torch.equal(second(*batch)[0], first(*batch)[0])
    first.detach()
    assert not torch.equal(second(*batch)[0], first(*batch)[0])


def _linear(rows: int, columns: int) -> int:
    return rows * columns + columns


def _e(b: Backbone, width: int = 6) -> int:
    d = b.hidden_size
    return (b.layer_count - 1) * (_linear(d, width) + _linear(width, d) + 2 * d)


def _l(b: Backbone, width: int = 10) -> int:
    return b.layer_count * (_linear(b.hidden_size, width) + 2 * width + 1)


def _norms(b: Backbone) -> int:
    return b.layer_count * 4 * b.hidden_size


def _bottle(b: Backbone, width: int) -> int:
    return _linear(b.hidden_size, width) + _linear(width, b.hidden_size)


def _biases(b: Backbone) -> int:
    """All biases of the layers but those of norms and keys; WavLM's gate has one, too."""
    named = b.layers.named_parameters()
    return sum(p.numel() for n, p in named if n.endswith("bias") and "norm" not in n and "k_proj" not in n)


def _sizes(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


COUNTS: Mapping[str, Callable[[Backbone], int]] = {
    "full": lambda b: _sizes(b.feature_projection, b.encoder),
    "weighted-sum": lambda b: b.layer_count + 1,
    "top-2": lambda b: _sizes(*b.layers[-2:]),
    "lora-attention": lambda b: b.layer_count * 2 * 8 * 2 * b.hidden_size,
    "lora-ffn": lambda b: b.layer_count * 2 * 8 * (b.hidden_size + b.config.intermediate_size),
    "dora": lambda b: b.layer_count * 2 * (8 * 2 + 1) * b.hidden_size,
    "pissa": lambda b: b.layer_count * 2 * 8 * 2 * b.hidden_size,
    "norms": _norms,
    "bitfit": lambda b: _norms(b) + _biases(b),
    "conv": lambda b: b.layer_count * (d := b.hidden_size) * (2 + 2 * 3 * 4 + 2 * (d // 8)) + b.layer_count * 5 * 4,
    "prefix": lambda b: 2 * b.feature_size + 2 * (b.layer_count - 1) * b.hidden_size,
    "inter": lambda b: b.layer_count * (_bottle(b, 4) + _bottle(b, 6) + 1),
    "bottleneck": lambda b: 2 * b.layer_count * (_linear(b.hidden_size, 4) + _linear(4, b.hidden_size)) + _norms(b),
    "e": lambda b: _e(b) + _norms(b),
    "l": _l,
    "el": lambda b: _e(b) + _l(b) + _norms(b),
    "elp": lambda b: _e(b) + _l(b) + _norms(b) + 2 * b.feature_size,
}


@pytest.mark.parametrize("name", METHODS)
def test_its_parameters_are_those_of_the_formula(name: str) -> None:
    made = model(SMALL[name], "wavlm")
    head = sum(p.numel() for p in made.head.parameters())
    assert made.parameter_count() - head == COUNTS[name](made.backbone)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("out_proj",), ("intermediate_dense", "output_dense")])
def test_lora_takes_effect_on_wavlm(targets: tuple[str, ...]) -> None:
    made = model(LoraConfig(targets=targets), "wavlm")
    batch = waveform_batch([6000, 4000])
    frames, _ = made(*batch)
    frames.square().mean().backward()
    assert all(bool(p.grad is not None and p.grad.any()) for n, p in made.trainable().items() if "lora" in n)
    made.detach()
    change = (made(*batch)[0] - frames.detach()).abs().max()
    assert 0 < float(change) < 0.1


def test_lora_costs_no_second_set_of_weights() -> None:
    made = model(LoraConfig())
    shared = {p.data_ptr() for p in made.backbone.parameters()}
    assert {p.data_ptr() for n, p in made.adapters.named_parameters() if "lora" not in n} <= shared


@pytest.mark.parametrize("name", SMALL)
def test_a_tensor_without_a_gradient_is_named_whatever_the_method(name: str) -> None:
    broken = model(SMALL[name])
    broken.head.planted = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(NoGradient, match=r"first step: head\.planted;"):
        train(broken, CLIPS, HELD_OUT, replace(CONFIG, epochs=1))


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_a_configuration_goes_out_and_in_again(config: MethodConfig) -> None:
    assert method_from_dict(method_to_dict(config)) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: method_from_dict({"method": "magic"}), "method is 'magic', expected one of elp, full"),
        (lambda: method_from_dict({"method": "full", "rank": 1}), "unknown key rank"),
        (lambda: LoraConfig(rank=0), "rank is 0, expected 1 or more"),
        (lambda: LoraConfig(targets=("cnn",)), r"targets is \['cnn'\], expected some of q_proj"),
        (lambda: LoraConfig(dropout=1.0), "dropout is 1.0"),
        (lambda: LoraConfig(start="principal"), "start is 'principal', expected no dropout"),
        (lambda: ConvConfig(0), "bottleneck is 0"),
        (lambda: BottleneckConfig(0), "bottleneck is 0"),
        (lambda: BottleneckConfig(dropout=-0.1), "dropout is -0.1"),
        (lambda: TopLayersConfig(0), "count is 0, expected 1 or more"),
        (lambda: model(TopLayersConfig(4)), "count is 4; this backbone has 3 layers"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_lora_without_peft_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install elp-foundry\[peft\]"):
        model(LoraConfig())


@pytest.mark.parametrize("config", [FullConfig(), WeightedSumConfig(), BottleneckConfig(4), METHODS["pissa"].config])
@torch.no_grad()
def test_a_fresh_method_begins_near_the_backbone(config: MethodConfig) -> None:
    made = model(config).eval()
    frames, _ = made(*waveform_batch([6000]))
    made.detach()
    own, _ = made(*waveform_batch([6000]))
    if isinstance(config, WeightedSumConfig):
        assert frames.shape == own.shape
    else:
        tolerance = 0.05 if isinstance(config, BottleneckConfig) else 1e-5 * isinstance(config, LoraConfig)
        torch.testing.assert_close(frames, own, atol=tolerance, rtol=0)


def test_all_layers_of_wavlm_learn_the_position_bias_too() -> None:
    trained = model(TopLayersConfig(3), "wavlm")
    masked = replace(CONFIG, epochs=1, augment=replace(PLAIN, time_mask=0.1))
    train(trained, CLIPS, HELD_OUT, masked)
    bias = next(value for name, value in trained.state().items() if "rel_attn_embed" in name)
    assert not torch.equal(bias, trained.backbone.layers[0].attention.rel_attn_embed.weight)


def test_full_fine_tuning_keeps_the_copies_in_eval_mode() -> None:
    tuned = model(FullConfig()).train()
    assert not any(part.training for part in tuned.adapters.get_submodule("encoder").modules())
