"""The operations of `elp_core` that replace PyTorch's on the CPU, against PyTorch's own, side by side.

WavLM base size, 8 clips of 4 s and 5 pseudo features; forward and backward except for the CNN, which needs no gradient.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from network_sizes import random_network
from torch import Tensor
from turns import take_turns

from elp_core.backbones import Backbone
from elp_core.backbones.attention import GatedAttention
from elp_core.backbones.convolutions import convolve, convolve_frames
from elp_core.dropout import drop

CLIPS, FRAMES, WIDTH, HEADS = 8, 204, 768, 12


def with_gradient(function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> Callable[[], None]:
    """Return a call of `function` on random inputs of these shapes, forward and backward."""
    inputs = [torch.randn(*shape, requires_grad=True) for shape in shapes]
    upstream = torch.randn_like(function(*inputs))

    def run() -> None:
        torch.autograd.grad(function(*inputs), inputs, upstream)

    return run


def pairs() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return PyTorch's way and ours for each operation."""
    conv = random_network("base", dropout=False).eval().requires_grad_(False).encoder.pos_conv_embed.conv
    frames, heads = (CLIPS, FRAMES, WIDTH), (CLIPS, HEADS, FRAMES, WIDTH // HEADS)
    position = torch.randn(HEADS, FRAMES, FRAMES)
    cnn, waveforms = Backbone.from_pretrained("elp:tiny").feature_extractor, 0.1 * torch.randn(CLIPS, 64_000)

    def gated(query: Tensor, key: Tensor, value: Tensor, gate: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=gate * position)

    def ours_gated(*given: Tensor) -> Tensor:
        return GatedAttention.apply(*given, position, None)

    inputs = [heads, heads, heads, (CLIPS, HEADS, FRAMES, 1)]
    return {
        "attention under a gated position bias": (with_gradient(gated, *inputs), with_gradient(ours_gated, *inputs)),
        "convolution over positions": (
            with_gradient(lambda x: conv(x.transpose(1, 2)).transpose(1, 2)[:, :FRAMES], frames),
            with_gradient(lambda x: convolve_frames(conv, x), frames),
        ),
        "dropout of an adapter's bottleneck": (
            with_gradient(lambda x: F.dropout(x, 0.1, True), (CLIPS, FRAMES, 256)),
            with_gradient(lambda x: drop(x, 0.1, True), (CLIPS, FRAMES, 256)),
        ),
        "CNN of `elp:tiny`": (
            torch.inference_mode()(lambda: cnn(waveforms)),
            torch.inference_mode()(lambda: convolve(cnn, waveforms)),
        ),
    }


def main() -> None:
    torch.set_num_threads(2)
    print("| operation | PyTorch, ms | elp_core, ms | speed |\n|---|---|---|---|")
    for name, (theirs, ours) in pairs().items():
        times = take_turns({"theirs": theirs, "ours": ours}, 15, warm_up=3)
        one, other = (1e3 * statistics.median(times[way]) for way in ("theirs", "ours"))
        print(f"| {name} | {one:.1f} | {other:.1f} | {one / other:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
