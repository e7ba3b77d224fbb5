from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from elp_core.backbones.attention import GatedAttention

CLIPS, HEADS, FRAMES, SIZE = 3, 2, 7, 4
POSITION = torch.randn(HEADS, FRAMES, FRAMES, generator=torch.Generator().manual_seed(0))


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
