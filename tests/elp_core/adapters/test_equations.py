"""The equations of arXiv 2407.21066 once more, plainly: one clip, no batch, explicit formulas.

Weights are taken by their bundle names. Only the frozen parts (CNN, projection, positions, attention, feed-forward)
are transformers' own modules.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from elp_core.backbones import Backbone
from elp_core.backbones.mel import MelFeatures
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig, PromptPlace
from elp_core.model import ElpModel
from elp_core.tasks import SpeechRecognition
from elp_core.testing import FAMILY_STYLES, tiny_model, waveform_batch

E = EncoderAdapterConfig(bottleneck=6)
L = LayerAdapterConfig(width=10)
Tensors = dict[str, torch.Tensor]


@torch.no_grad()
def _agree(family: str, pre_norm: bool, config: ElpConfig, place: PromptPlace = "prefix") -> None:
    transformer = tiny_model(family, pre_norm)
    model = ElpModel(Backbone.from_model(transformer, "tiny"), config, SpeechRecognition()).eval()
    for tensor in model.state().values():  # far from the initial values, where a part left out would show
        tensor.add_(0.3 * torch.randn_like(tensor))
    lengths = [6000, 4000]
    waveforms, counts = waveform_batch(lengths)
    frames, counts = model(waveforms, counts)
    for row, length in enumerate(lengths):
        expected = reference(transformer, waveforms[row, :length], model.state(), pre_norm, place)
        torch.testing.assert_close(frames[row, : counts[row]], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "pre_norm"), FAMILY_STYLES)
def test_every_family_follows_the_equations(family: str, pre_norm: bool) -> None:
    _agree(family, pre_norm, ElpConfig(encoder=E, layer=L, prompt=PromptConfig(3)))


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        ElpConfig(encoder=E, layer=None, prompt=None, tune_norms=False),
        ElpConfig(encoder=None, layer=L, prompt=None, tune_norms=False),
        ElpConfig(encoder=E, layer=L, prompt=None),
        ElpConfig(encoder=None, layer=None, prompt=None, tune_norms=True),
        ElpConfig(encoder=None, layer=None, prompt=None, tune_norms=False),
    ],
    ids=["E", "L", "EL", "norms", "none"],
)
def test_each_part_alone_follows_the_equations(config: ElpConfig, pre_norm: bool) -> None:
    _agree("hubert", pre_norm, config)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_a_suffix_stands_right_behind_each_clips_frames(pre_norm: bool) -> None:
    _agree("wavlm", pre_norm, ElpConfig(encoder=E, layer=L, prompt=PromptConfig(3, "suffix")), "suffix")


def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + eps) * weight + bias


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1.0 + torch.erf(x / 2**0.5))


def e_adapter(f: torch.Tensor, s: Tensors, layer: int) -> torch.Tensor:
    if f"e.{layer}.down.weight" not in s:
        return f
    inner = gelu(f @ s[f"e.{layer}.down.weight"].T + s[f"e.{layer}.down.bias"])
    up = inner @ s[f"e.{layer}.up.weight"].T + s[f"e.{layer}.up.bias"]
    return layer_norm(up, s[f"e.{layer}.norm.weight"], s[f"e.{layer}.norm.bias"]) + f


def l_adapter(h: torch.Tensor, s: Tensors, layer: int) -> torch.Tensor:
    inner = gelu(h @ s[f"l.{layer}.down.weight"].T + s[f"l.{layer}.down.bias"])
    return layer_norm(inner, s[f"l.{layer}.norm.weight"], s[f"l.{layer}.norm.bias"])


def reference(model: Any, waveform: torch.Tensor, s: Tensors, pre_norm: bool, place: str) -> torch.Tensor:
    """Frames [F, dim] of one waveform [T] by a transformers `model` with the adapters in `s`."""
    if hasattr(model, "feature_extractor"):
        features = model.feature_extractor(waveform[None]).transpose(1, 2)[0]
    else:  # `test_mel` compares these with transformers'
        features = MelFeatures(4)(waveform[None], torch.tensor([len(waveform)]))[0]
    prompts = s.get("p.features", features[:0])
    features = torch.cat([prompts, features] if place == "prefix" else [features, prompts])
    projected = model.feature_projection(features[None])
    h = projected[0] if isinstance(projected, tuple) else projected
    if hasattr(model.encoder, "pos_conv_embed"):
        h = h + model.encoder.pos_conv_embed(h)
        h = h if pre_norm else model.encoder.layer_norm(h)
    outputs, bias = [], None
    for number, layer in enumerate(model.encoder.layers):
        h, bias = encoder_layer(layer, h, s, number, pre_norm, bias)
        outputs.append(h)
    start, end = (len(prompts), None) if place == "prefix" else (0, len(features) - len(prompts))
    kept = [output[0, start:end] for output in outputs]
    if "l.weights" not in s:
        return model.encoder.layer_norm(kept[-1]) if pre_norm else kept[-1]
    exps = torch.exp(s["l.weights"])
    return sum(exps[i] / exps.sum() * l_adapter(h, s, i) for i, h in enumerate(kept))


def encoder_layer(
    layer: Any, h: torch.Tensor, s: Tensors, number: int, pre_norm: bool, bias: Any
) -> tuple[torch.Tensor, Any]:
    def norm(x: torch.Tensor, name: str, own: Any) -> torch.Tensor:
        weight, offset = (
            s.get(f"norm.{number}.{name}.weight", own.weight),
            s.get(f"norm.{number}.{name}.bias", own.bias),
        )
        return layer_norm(x, weight, offset)

    def attention(x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        if not hasattr(layer.attention, "gru_rel_pos_linear"):
            return layer.attention(x)[0], None
        mixed, _, passed_on = layer.attention(x, position_bias=bias)
        return mixed, passed_on

    if hasattr(layer, "conv_module"):
        h = h + layer.ffn1(layer.ffn1_layer_norm(h)) / 2
        h = h + layer.self_attn(norm(h, "attention", layer.self_attn_layer_norm))[0]
        h = h + layer.conv_module(h)
        h = h + e_adapter(layer.ffn2(layer.ffn2_layer_norm(h)), s, number) / 2
        return norm(h, "final", layer.final_layer_norm), None
    if pre_norm:
        mixed, bias = attention(norm(h, "attention", layer.layer_norm))
        h = h + mixed
        return h + e_adapter(layer.feed_forward(norm(h, "final", layer.final_layer_norm)), s, number), bias
    mixed, bias = attention(h)
    h = norm(h + mixed, "attention", layer.layer_norm)
    return norm(h + e_adapter(layer.feed_forward(h), s, number), "final", layer.final_layer_norm), bias
