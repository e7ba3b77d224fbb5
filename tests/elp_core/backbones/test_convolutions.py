from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from elp_core.backbones import Adapters, Backbone, convolutions, layer_outputs
from elp_core.testing import tiny_backbone, tiny_model

WIDTH, GROUPS = 12, 3


def conv(kernel: int, bias: bool = True) -> nn.Conv1d:
    made = nn.Conv1d(WIDTH, WIDTH, kernel, padding=kernel // 2, groups=GROUPS, bias=bias)
    return weight_norm(made, dim=2).requires_grad_(False)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel", [1, 8, 9])
@pytest.mark.parametrize("frames", [1, 5, 9, 10, 40])
def test_values_and_gradients_are_those_of_the_direct_convolution(frames: int, kernel: int, bias: bool) -> None:
    direct, given = conv(kernel, bias), torch.randn(2, frames, WIDTH, requires_grad=True)
    expected = direct(given.transpose(1, 2)).transpose(1, 2)[:, :frames]
    found = convolutions.convolve_frames(direct, given)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    weights = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(out, given, weights)[0] for out in (found, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_a_changed_kernel_has_another_spectrum() -> None:
    direct = conv(8)
    before = convolutions.spectrum(direct)
    assert convolutions.spectrum(direct) is before
    with torch.no_grad():
        direct.parametrizations.weight.original0.mul_(2.0)
    torch.testing.assert_close(convolutions.spectrum(direct), 2 * before)


def test_a_spectrum_goes_with_its_convolution() -> None:
    direct = conv(8)
    held = weakref.ref(convolutions.spectrum(direct))
    assert held() is not None
    del direct
    gc.collect()
    assert held() is None


def test_kernels_that_are_short_learn_or_are_listened_to_are_convolved_directly() -> None:
    hidden = torch.randn(1, 4, WIDTH)
    assert convolutions.suits(conv(64), hidden)
    assert not convolutions.suits(conv(32), hidden)
    assert not convolutions.suits(conv(64).requires_grad_(True), hidden)
    assert not convolutions.suits(conv(64), hidden.bfloat16())
    watched = conv(64)
    watched.register_forward_hook(lambda *_: None)
    assert not convolutions.suits(watched, hidden)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("family", ["wavlm", "hubert", "wav2vec2", "unispeech-sat"])
@torch.no_grad()
def test_long_kernels_of_a_backbone_give_what_transformers_give(family: str, pre_norm: bool) -> None:
    model = tiny_model(family, pre_norm, num_conv_pos_embeddings=64)
    waveforms = torch.randn(2, 30_000)
    expected = model(waveforms, output_hidden_states=True)
    backbone = Backbone.from_model(model, "tiny")
    assert convolutions.suits(backbone.encoder.pos_conv_embed.conv, expected.last_hidden_state)
    features = backbone.features(waveforms, torch.tensor([30_000, 30_000]))
    *inner, last = layer_outputs(backbone, *features, Adapters(backbone))
    ours = [*inner, backbone.finish(last)]
    for got, wanted in zip(ours, [*expected.hidden_states[:-1], expected.last_hidden_state], strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_does_not_reach_real_frames_through_the_transform() -> None:
    backbone = tiny_backbone("wavlm", num_conv_pos_embeddings=64)
    features, counts = torch.randn(2, 150, 8), torch.tensor([150, 40])
    features[1, 40:] = 0
    *_, together = layer_outputs(backbone, features, counts, Adapters(backbone))
    *_, alone = layer_outputs(backbone, features[1:, :40], counts[1:], Adapters(backbone))
    torch.testing.assert_close(together[1, :40], alone[0], atol=1e-5, rtol=0)


def test_a_spectrum_worked_out_while_serving_is_good_for_training() -> None:
    direct, given = conv(8), torch.randn(1, 4, WIDTH, requires_grad=True)
    with torch.inference_mode():
        convolutions.convolve_frames(direct, given)
    convolutions.convolve_frames(direct, given).sum().backward()
    assert given.grad is not None
