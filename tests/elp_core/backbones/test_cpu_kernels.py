from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones.cpu_kernels import GatedAttention, feed_forward, project
from elp_core.testing import tiny_backbone

ROWS, WIDTH = 7, 12
CLIPS, HEADS, FRAMES, SIZE = 3, 2, 7, 4
POSITION = torch.randn(HEADS, FRAMES, FRAMES, generator=torch.Generator().manual_seed(0))


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs).requires_grad_(False)


def same(found: torch.Tensor, expected: torch.Tensor, given: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    weights = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(out, given, weights)[0] for out in (found, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_several_projections_have_the_values_and_the_gradient_of_linear_layers() -> None:
    given, linears = torch.randn(ROWS, WIDTH, requires_grad=True), [linear(WIDTH, WIDTH) for _ in range(3)]
    found, expected = project(given, linears), [one(given) for one in linears]
    assert "Projections" in str(found[0].grad_fn)
    same(torch.cat(found, 1), torch.cat(expected, 1), given)


@pytest.mark.parametrize("family", ["wavlm", "hubert", "data2vec-audio"])
def test_a_feed_forward_block_has_the_value_and_the_gradient_of_its_module(family: str) -> None:
    module = tiny_backbone(family).layers[0].feed_forward
    given = torch.randn(2, ROWS, 24, requires_grad=True)
    found = feed_forward(module, given)
    assert "FeedForward" in str(found.grad_fn)
    same(found, module(given), given)


def test_a_layer_that_learns_is_called() -> None:
    learning = nn.Linear(WIDTH, WIDTH)
    given = torch.randn(ROWS, WIDTH)
    found = project(given, [linear(WIDTH, WIDTH), learning])
    (gradient,) = torch.autograd.grad(found[1].sum(), learning.bias)
    torch.testing.assert_close(gradient, torch.full((WIDTH,), float(ROWS)))


def test_another_activation_is_kept() -> None:
    module = tiny_backbone("hubert", hidden_act="relu").layers[0].feed_forward
    given = torch.randn(ROWS, 24)
    expected = module.output_dense(F.relu(module.intermediate_dense(given)))
    torch.testing.assert_close(feed_forward(module, given), expected)


def test_a_module_with_hooks_is_called() -> None:
    called: list[str] = []
    one, module = linear(WIDTH, WIDTH), tiny_backbone().layers[0].feed_forward
    one.register_forward_hook(lambda *_: called.append("linear"))
    module.output_dense.register_forward_pre_hook(lambda *_: called.append("block"))
    project(torch.randn(ROWS, WIDTH), [one])
    feed_forward(module, torch.randn(ROWS, 24))
    assert called == ["linear", "block"]


def test_only_the_activations_input_is_kept_for_backward() -> None:
    module = tiny_backbone().layers[0].feed_forward
    own = {parameter.data_ptr() for parameter in module.parameters()}
    kept: list[tuple[int, ...]] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.extend([tuple(tensor.shape)] if tensor.data_ptr() not in own else [])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        feed_forward(module, torch.randn(ROWS, 24, requires_grad=True))
    assert kept == [(ROWS, 32)]


def inputs() -> list[torch.Tensor]:
    heads = [torch.randn(CLIPS, FRAMES, HEADS, SIZE).transpose(1, 2) for _ in range(3)]
    return [part.detach().requires_grad_() for part in (*heads, 1 + torch.rand(CLIPS, HEADS, FRAMES, 1))]


def real(counts: list[int]) -> torch.Tensor:
    return (torch.arange(FRAMES) < torch.tensor(counts).unsqueeze(1))[:, None, None, :]


@pytest.mark.parametrize("mask", [None, real([7, 3, 1])], ids=["whole", "padded"])
def test_gated_attention_has_the_value_and_the_gradients_of_the_plain_formula(mask: torch.Tensor | None) -> None:
    query, key, value, gate = given = inputs()
    bias = gate * POSITION
    if mask is not None:
        bias = bias.masked_fill(~mask, float("-inf"))
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    found = GatedAttention.apply(query, key, value, gate, POSITION, mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    weights = torch.randn_like(expected)
    for ours, theirs in zip(*(torch.autograd.grad(out, given, weights) for out in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_gated_attention_keeps_no_scores_for_backward() -> None:
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        GatedAttention.apply(*inputs(), POSITION, None)
    assert max(sizes) < CLIPS * HEADS * FRAMES * FRAMES
